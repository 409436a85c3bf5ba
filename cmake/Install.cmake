# `cmake --install`: the program, its manual pages and completions, a unit for systemd, an example.
include(GNUInstallDirs)

set(made ${CMAKE_BINARY_DIR}/installed)
set(run ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:headrace>)
add_custom_command(
  OUTPUT ${made}/headrace.1
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${made}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${made}
  COMMAND ${run} completion bash > ${made}/headrace.bash
  COMMAND ${run} completion zsh > ${made}/_headrace
  COMMAND ${run} completion fish > ${made}/headrace.fish
  COMMAND ${run} man --out ${made}
  DEPENDS headrace)
add_custom_target(installed ALL DEPENDS ${made}/headrace.1)

install(TARGETS headrace RUNTIME)
install(DIRECTORY ${made}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
install(FILES ${made}/headrace.bash RENAME headrace
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${made}/_headrace DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${made}/headrace.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES LICENSE packaging/headrace.yaml DESTINATION ${CMAKE_INSTALL_DOCDIR})
# The unit names the program by its full path, which is known only now.
install(CODE "
  set(program \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/headrace)
  configure_file(${CMAKE_SOURCE_DIR}/packaging/headrace.service.in
                 \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/headrace.service @ONLY)")
