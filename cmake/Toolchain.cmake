# Compiler and linker settings that hold for every room.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD AND NOT HEADRACE_TRAIN)  # It cannot link what counts (mold 1.10).
  add_link_options(-fuse-ld=mold)
endif()

# Designated initialisers that leave a member at its default are how options are written here.
add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wno-missing-field-initializers
                    -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # What a mutex guards is part of its type (system/mutex.h).
  add_compile_options(-Wthread-safety)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these falsely at -O2: inside the standard library, and for coroutine frames.
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict -Wno-array-bounds
                      -Wno-stringop-overflow -Wno-mismatched-new-delete)
endif()

if(HEADRACE_SANITIZE)
  add_compile_options(-fsanitize=${HEADRACE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HEADRACE_SANITIZE})
endif()

# What ships stops at a stack or a copy that overflows, an index out of range, and a return or jump
# that was bent (docs/security.md). Sanitizers find more, and need the plain functions.
if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" AND NOT HEADRACE_SANITIZE)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection
                      -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -D_GLIBCXX_ASSERTIONS)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    add_compile_options(-fcf-protection=full)
  else()
    add_compile_options(-mbranch-protection=standard)
  endif()
endif()

# Tables of addresses cannot be written once the program runs, nor its stack be executed
# (tests/check-hardening). Compilers here make programs position independent by themselves.
add_link_options(LINKER:-z,relro,-z,now,-z,noexecstack)

find_package(Threads REQUIRED)
