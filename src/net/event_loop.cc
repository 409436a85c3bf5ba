#include "net/event_loop.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <system_error>
#include <utility>

#include "system/clock.h"

namespace headrace::net {
namespace {

int Checked(int descriptor, const char* what) {
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), what);
  return descriptor;
}

// As far as the clock's 64 bits of nanoseconds go.
constexpr Seconds kEndOfTime = 9e9;

}  // namespace

EventLoop::EventLoop()
    : poll_(Checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wake_(Checked(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")),
      timer_(Checked(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd")) {
  for (int* const own : {&wake_, &timer_}) {
    epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.ptr = own}};
    Checked(epoll_ctl(poll_, EPOLL_CTL_ADD, *own, &event), "epoll_ctl");
  }
}

EventLoop::~EventLoop() {
  Discard();
  ::close(timer_);
  ::close(wake_);
  ::close(poll_);
}

void EventLoop::Run() {
  while (!stopped_) {
    RunPosted();
    RunTurns();
    if (stopped_) break;
    const int count = epoll_wait(poll_, events_.data(), kMostEvents, asleep_ ? -1 : 0);
    asleep_ = false;
    for (events_left_ = 0, events_end_ = std::max(count, 0); events_left_ < events_end_;) {
      const epoll_event event = events_[static_cast<std::size_t>(events_left_++)];
      if (event.data.ptr == &timer_) {
        RunTimers();
      } else if (event.data.ptr != &wake_ && event.data.ptr != nullptr) {
        static_cast<Watcher*>(event.data.ptr)->OnEvents(event.events);
      }
    }
  }
}

void EventLoop::Stop() {
  stopped_ = true;
  Post([] {});
}

// --- Work

void EventLoop::Post(std::function<void()> work) {
  {
    const system::MutexLock lock(mutex_);
    posted_.push_back(std::move(work));
  }
  if (!asleep_.exchange(false)) return;
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof(one));
}

void EventLoop::RunPosted() {
  {
    const system::MutexLock lock(mutex_);
    running_.swap(posted_);
    asleep_ = running_.empty() && soon_.empty();
  }
  for (auto& work : running_) {
    work();
    work = nullptr;
  }
  running_.clear();
}

void EventLoop::Discard() {
  for (;;) {
    std::vector<std::function<void()>> posted;
    {
      const system::MutexLock lock(mutex_);
      posted.swap(posted_);
    }
    const auto timers = std::move(timers_);
    timers_.clear();
    running_.clear();
    if (posted.empty() && timers.empty()) return;
  }
}

// --- Time

void EventLoop::At(Seconds time, std::function<void()> work) {
  timers_.emplace(std::clamp(time, 0.0, kEndOfTime), std::move(work));
  SetTimer();
}

void EventLoop::SetTimer() {
  if (timers_.empty() || timers_.begin()->first >= timer_set_for_) return;
  timer_set_for_ = timers_.begin()->first;
  const Seconds whole = std::floor(timer_set_for_);
  itimerspec spec = {};
  spec.it_value.tv_sec = static_cast<std::time_t>(whole);
  spec.it_value.tv_nsec =
      std::min(static_cast<long>(std::ceil((timer_set_for_ - whole) * 1e9)), 999'999'999L);
  // Zero would disarm it.
  if (spec.it_value.tv_sec == 0 && spec.it_value.tv_nsec == 0) spec.it_value.tv_nsec = 1;
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

void EventLoop::RunTimers() {
  timer_set_for_ = kNever;
  // Only those that are due now, however many they set meanwhile.
  for (const Seconds now = system::MonotonicNow();
       !timers_.empty() && timers_.begin()->first <= now;) {
    const auto due = timers_.extract(timers_.begin());
    due.mapped()();
  }
  SetTimer();
}

// --- Descriptors

bool EventLoop::Watch(int descriptor, Watcher& watcher) {
  epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                       .data = {.ptr = &watcher}};
  return epoll_ctl(poll_, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void EventLoop::CallSoon(Watcher& watcher) {
  if (std::exchange(watcher.called_soon_, true)) return;
  soon_.push_back(&watcher);
}

void EventLoop::RunTurns() {
  turns_.swap(soon_);
  for (Watcher*& turn : turns_) {
    if (turn == nullptr) continue;
    Watcher& watcher = *std::exchange(turn, nullptr);
    watcher.called_soon_ = false;
    watcher.OnTurn();
  }
  turns_.clear();
}

void EventLoop::Forget(Watcher& watcher) {
  if (std::exchange(watcher.called_soon_, false)) {
    std::ranges::replace(soon_, &watcher, nullptr);
    std::ranges::replace(turns_, &watcher, nullptr);
  }
  for (int i = events_left_; i < events_end_; ++i) {
    epoll_event& event = events_[static_cast<std::size_t>(i)];
    if (event.data.ptr == &watcher) event.data.ptr = nullptr;
  }
}

}  // namespace headrace::net
