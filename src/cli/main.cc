#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "cli/program.h"

namespace {

// As after `| head`: nobody wants the rest.
bool ReaderHasLeft() {
  pollfd output{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
  return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int status = headrace::cli::RunProgram(argc, argv);
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  if (!ReaderHasLeft()) {
    std::fputs("The output cannot be written in full; is the disk full?\n", stderr);
  }
  return status != 0 ? status : 1;
}
