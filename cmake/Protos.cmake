# headrace_protos(ROOM FOLDER file...)
#
# The library `headrace_ROOM_protos` of messages and gRPC services, made of .proto files. FOLDER is
# what their imports, and the includes of their headers, are relative to. gRPC's headers are slow to
# compile: include them in few files.
function(headrace_protos ROOM FOLDER)
  find_program(PROTOC protoc REQUIRED)
  find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
  set(out ${CMAKE_BINARY_DIR}/protos/${ROOM})
  set(sources)
  foreach(proto ${ARGN})
    string(REGEX REPLACE "\\.proto$" "" name ${proto})
    set(made ${out}/${name}.pb.cc ${out}/${name}.pb.h)
    set(plugin)
    file(STRINGS ${FOLDER}/${proto} services REGEX "^service ")
    if(services)
      list(APPEND made ${out}/${name}.grpc.pb.cc ${out}/${name}.grpc.pb.h)
      set(plugin --grpc_out=${out} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN})
    endif()
    add_custom_command(
      OUTPUT ${made}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
      COMMAND ${PROTOC} -I${FOLDER} --cpp_out=${out} ${plugin} ${proto}
      DEPENDS ${FOLDER}/${proto}
      VERBATIM)
    list(FILTER made INCLUDE REGEX "\\.cc$")
    list(APPEND sources ${made})
  endforeach()
  set(library headrace_${ROOM}_protos)
  add_library(${library} STATIC ${sources})
  target_include_directories(${library} SYSTEM PUBLIC ${out})
  target_compile_options(${library} PRIVATE -w)
  target_link_libraries(${library} PUBLIC PkgConfig::GRPC)
endfunction()
