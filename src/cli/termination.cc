#include "cli/termination.h"

#include <cerrno>
#include <csignal>
#include <ctime>

namespace headrace::cli {
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

bool Termination::Wait(std::optional<Seconds> patience) {
  const sigset_t signals = Signals();
  for (;;) {
    int signal = 0;
    if (patience) {
      timespec time{};
      time.tv_sec = static_cast<time_t>(*patience);
      time.tv_nsec = static_cast<long>((*patience - static_cast<double>(time.tv_sec)) * 1e9);
      signal = sigtimedwait(&signals, nullptr, &time);
    } else {
      signal = sigwaitinfo(&signals, nullptr);
    }
    if (signal < 0 && errno == EINTR) continue;
    if (signal < 0) return false;
    // From now on the default holds: whoever asks twice does not want to wait.
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    return true;
  }
}

}  // namespace headrace::cli
