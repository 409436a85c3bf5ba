#include "system/termination.h"

#include <cerrno>
#include <csignal>
#include <ctime>

namespace headrace::system {
namespace {

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

Termination::Termination() {
  const sigset_t signals = Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

bool Termination::Wait(std::optional<Seconds> timeout) {
  const sigset_t signals = Signals();
  for (;;) {
    int signal = 0;
    if (timeout) {
      timespec time{};
      time.tv_sec = static_cast<time_t>(*timeout);
      time.tv_nsec = static_cast<long>((*timeout - static_cast<double>(time.tv_sec)) * 1e9);
      signal = sigtimedwait(&signals, nullptr, &time);
    } else {
      signal = sigwaitinfo(&signals, nullptr);
    }
    if (signal < 0 && errno == EINTR) continue;
    if (signal < 0) return false;
    // From now on the default applies: a second signal ends the program.
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    return true;
  }
}

}  // namespace headrace::system
