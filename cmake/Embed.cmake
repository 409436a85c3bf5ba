# headrace_embed(TARGET HEADER FILES file...)
#
# Makes the data files part of the program, so that it runs from any folder: generates HEADER
# (included as "embedded/HEADER") with `inline constexpr EmbeddedFile kFiles_...[]`.
# The generator is cmake/EmbedFiles.cmake; it runs again when a file changes.
function(headrace_embed TARGET NAME)
  cmake_parse_arguments(ARG "" "" "FILES" ${ARGN})
  set(root ${CMAKE_BINARY_DIR}/embedded_${NAME})
  set(output ${root}/embedded/${NAME}.h)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DNAME=${NAME} -DOUTPUT=${output} "-DFILES=${ARG_FILES}"
            -P ${CMAKE_SOURCE_DIR}/cmake/EmbedFiles.cmake
    DEPENDS ${ARG_FILES} ${CMAKE_SOURCE_DIR}/cmake/EmbedFiles.cmake
    VERBATIM)
  target_sources(${TARGET} PRIVATE ${output})
  target_include_directories(${TARGET} PRIVATE ${root})
endfunction()
