# headrace_hot_paths(room...)
#
# Inlines and lays out what ships of these rooms for the ways that requests take, by a count of how
# often each branch runs on them: hot-paths.profdata, which tools/train writes. Functions that run
# often lie side by side. What has changed since is built as if nothing had been counted. With
# HEADRACE_TRAIN the rooms count.
function(headrace_hot_paths)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
    if(HEADRACE_TRAIN)
      message(FATAL_ERROR "HEADRACE_TRAIN needs clang 19 or later")
    endif()
    return()  # They cannot read the file.
  endif()
  if(HEADRACE_TRAIN)
    set(options -fprofile-generate)
    target_link_options(headrace PRIVATE -fprofile-generate)
  elseif(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" AND NOT HEADRACE_SANITIZE)
    set(options -fprofile-use=${CMAKE_SOURCE_DIR}/cmake/hot-paths.profdata
                -Wno-profile-instr-out-of-date -Wno-profile-instr-unprofiled -Wno-backend-plugin)
    if(MOLD)  # Else it mixes them with the others; GNU ld does not.
      target_link_options(headrace PRIVATE LINKER:-z,keep-text-section-prefix)
    endif()
  else()
    return()
  endif()
  # The functions of a file are known by its name; its folder differs from machine to machine.
  list(APPEND options "SHELL:-mllvm -static-func-strip-dirname-prefix=99")
  foreach(room ${ARGN})
    target_compile_options(headrace_${room} PRIVATE ${options})
    if(NOT HEADRACE_TRAIN)
      # Compilers do not name the file among what an object depends on.
      get_target_property(sources headrace_${room} SOURCES)
      set_source_files_properties(${sources} PROPERTIES OBJECT_DEPENDS
                                  ${CMAKE_SOURCE_DIR}/cmake/hot-paths.profdata)
    endif()
  endforeach()
endfunction()
