# Toolchain of the presets portable-ARCH: clang-19, and everything linked from build/sysroot-ARCH,
# which packaging/sysroot makes.
set(HEADRACE_ARCH "" CACHE STRING "x86_64 or aarch64")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES HEADRACE_ARCH)

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${HEADRACE_ARCH})
get_filename_component(CMAKE_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../build/sysroot-${HEADRACE_ARCH}
                       ABSOLUTE)
foreach(language C CXX)
  set(CMAKE_${language}_COMPILER_TARGET ${HEADRACE_ARCH}-linux-gnu)
endforeach()
set(CMAKE_C_COMPILER clang-19)
set(CMAKE_CXX_COMPILER clang++-19)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-fuse-ld=mold -static-pie -Wl,--strip-all")
# gcc's run-time libraries ask for these weakly: all of them must be there, or none. An archive is
# not searched for a weak symbol, so some would be missing, and calls of them end at address 0.
foreach(function key_create key_delete getspecific setspecific once self join create mutex_init
                 mutex_destroy mutex_lock mutex_trylock mutex_unlock cond_init cond_destroy
                 cond_wait cond_broadcast)
  string(APPEND CMAKE_EXE_LINKER_FLAGS_INIT " -Wl,-u,pthread_${function}")
endforeach()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_LIBRARY_ARCHITECTURE ${HEADRACE_ARCH}-linux-gnu)
cmake_host_system_information(RESULT host QUERY OS_PLATFORM)
if(NOT HEADRACE_ARCH STREQUAL host)
  set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${HEADRACE_ARCH}-static)
endif()

set(CMAKE_PREFIX_PATH /usr/local)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
foreach(kind LIBRARY INCLUDE PACKAGE)
  set(CMAKE_FIND_ROOT_PATH_MODE_${kind} ONLY)
endforeach()
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/${HEADRACE_ARCH}-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)
