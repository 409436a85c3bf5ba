# headrace_room(NAME [ROOMS room...] [LIBS lib...] [TEST_ROOMS room...] [TEST_LIBS lib...])
#
# One folder of src/ = one library `headrace_NAME` of its *.cc, one test program `NAME_test` of its
# *_test.cc, one benchmark program `NAME_bench` of its *_bench.cc, and one libFuzzer target of each
# X_fuzz.cc, `X_fuzz`; where tests are built these are compiled. A main.cc belongs to none of them:
# tests share all code but that.
#
# A room sees only its own headers and those of the rooms it names: every room has an include root
# of its own that holds a single link to its folder, so an include of any other room's header does
# not compile.
function(headrace_room NAME)
  cmake_parse_arguments(ARG "" "" "ROOMS;LIBS;TEST_ROOMS;TEST_LIBS" ${ARGN})
  set(dir ${CMAKE_SOURCE_DIR}/src/${NAME})
  set(include_root ${CMAKE_BINARY_DIR}/rooms/${NAME})
  file(MAKE_DIRECTORY ${include_root})
  file(CREATE_LINK ${dir} ${include_root}/${NAME} SYMBOLIC)

  file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.cc)
  set(tests ${sources})
  set(benches ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cc$")
  set(fuzzers ${sources})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cc$|/main\\.cc$")
  list(TRANSFORM ARG_ROOMS PREPEND headrace_)
  list(TRANSFORM ARG_TEST_ROOMS PREPEND headrace_)

  set(library headrace_${NAME})
  if(sources)
    add_library(${library} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(${library} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${library} ${scope} ${include_root})
  target_link_libraries(${library} ${scope} ${ARG_ROOMS} ${ARG_LIBS})

  if(HEADRACE_TESTS AND tests)
    add_executable(${NAME}_test ${tests})
    target_link_libraries(${NAME}_test ${library} ${ARG_TEST_ROOMS} ${ARG_TEST_LIBS}
                          GTest::gmock GTest::gtest_main)
    # What is tested is built as it ships. The tests themselves only need to build soon.
    target_compile_options(${NAME}_test PRIVATE -O0 -U_FORTIFY_SOURCE)
    gtest_discover_tests(${NAME}_test TEST_PREFIX ${NAME}. DISCOVERY_MODE PRE_TEST
                         DISCOVERY_TIMEOUT 60 WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                         PROPERTIES TIMEOUT 300)
  endif()
  if(HEADRACE_BENCHMARKS AND benches)
    add_executable(${NAME}_bench ${benches})
    target_link_libraries(${NAME}_bench ${library} ${ARG_TEST_ROOMS} benchmark::benchmark_main)
  endif()
  if(HEADRACE_TESTS AND fuzzers)
    add_library(${NAME}_fuzz_targets OBJECT ${fuzzers})
    target_link_libraries(${NAME}_fuzz_targets ${library})
  endif()
  if(HEADRACE_FUZZ)
    foreach(fuzzer ${fuzzers})
      get_filename_component(target ${fuzzer} NAME_WE)
      add_executable(${target} ${fuzzer})
      target_link_libraries(${target} ${library})
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
      add_dependencies(fuzzers ${target})
    endforeach()
  endif()
endfunction()
