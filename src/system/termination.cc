#include "system/termination.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace headrace::system {
namespace {

sigset_t Signals(bool with_hangup) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  if (with_hangup) sigaddset(&signals, SIGHUP);
  return signals;
}

void Block(bool with_hangup) {
  const sigset_t signals = Signals(with_hangup);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

// From now on the default applies: the next signal ends the program.
void LetTheNextOneEndIt() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  const sigset_t signals = Signals(false);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

}  // namespace

Termination::Termination(int answered) : left_(answered) { Block(false); }

bool Termination::Wait(std::optional<Seconds> timeout) {
  const sigset_t signals = Signals(false);
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
    if (--left_ <= 0) LetTheNextOneEndIt();
    return true;
  }
}

Interruption::Interruption()
    : thread_([this](const std::stop_token& over) {
        while (!over.stop_requested() && !came_) {
          if (termination_.Wait(0.2)) came_ = true;
        }
      }) {}

void Terminate() { ::kill(::getpid(), SIGTERM); }

ServerSignals::ServerSignals() { Block(true); }

ServerSignals::Signal ServerSignals::Wait() {
  const sigset_t signals = Signals(true);
  for (;;) {
    const int signal = sigwaitinfo(&signals, nullptr);
    if (signal == SIGHUP) return Signal::kReload;
    if (signal < 0) continue;
    LetTheNextOneEndIt();
    return Signal::kTerminate;
  }
}

}  // namespace headrace::system
