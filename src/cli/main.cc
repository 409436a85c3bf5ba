#include <cstdio>

#include "cli/program.h"

int main(int argc, char** argv) {
  const int status = headrace::cli::RunProgram(argc, argv);
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  std::fputs("The output cannot be written in full; is the disk full?\n", stderr);
  return status != 0 ? status : 1;
}
