#include "extproc/completion_thread.h"

#include <grpc/support/time.h>

#include <algorithm>
#include <utility>

namespace headrace::extproc {
namespace {

// gRPC's monotonic clock is the system's.
gpr_timespec TimeOf(Seconds time) {
  if (time == kNever) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(gpr_time_0(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(static_cast<std::int64_t>(time * 1e9), GPR_TIMESPAN));
}

}  // namespace

class CompletionThread::QueueAlarm final : public serving::Alarm {
 public:
  QueueAlarm(CompletionThread& thread, std::function<void()> ring)
      : thread_(thread), ring_(std::move(ring)), place_(thread.alarms_.end()) {}
  ~QueueAlarm() override { Set(kNever); }

  void Set(Seconds time) override {
    auto& alarms = thread_.alarms_;
    if (place_ != alarms.end()) alarms.erase(place_);
    place_ = time == kNever ? alarms.end() : alarms.emplace(time, this);
  }
  void Ring() {
    Set(kNever);
    ring_();
  }

 private:
  CompletionThread& thread_;
  const std::function<void()> ring_;
  std::multimap<Seconds, QueueAlarm*>::iterator place_;
};

CompletionThread::CompletionThread(std::unique_ptr<grpc::ServerCompletionQueue> queue)
    : queue_(std::move(queue)), woken_(this, [](void* thread, bool) {
        static_cast<CompletionThread*>(thread)->RunPosted();
      }) {}

CompletionThread::~CompletionThread() { Stop(); }

void CompletionThread::Start() {
  thread_ = std::thread([this] { Run(); });
}

void CompletionThread::Stop() {
  if (thread_.joinable()) {
    Post([this] {
      stopping_ = true;
      ShutDownIfEmpty();
    });
    thread_.join();
    return;
  }
  const system::MutexLock lock(mutex_);
  if (!std::exchange(shut_down_, true)) queue_->Shutdown();
}

void CompletionThread::Leave() {
  --living_;
  ShutDownIfEmpty();
}

// Nothing may be asked of gRPC on a queue that has been shut down.
void CompletionThread::ShutDownIfEmpty() {
  if (!stopping_ || living_ > 0) return;
  const system::MutexLock lock(mutex_);
  if (!std::exchange(shut_down_, true)) queue_->Shutdown();
}

void CompletionThread::Post(std::function<void()> work) {
  const system::MutexLock lock(mutex_);
  if (shut_down_) return;
  posted_.push_back(std::move(work));
  // One wake-up runs all that is there by then.
  if (posted_.size() == 1) wake_.Set(queue_.get(), gpr_inf_past(GPR_CLOCK_MONOTONIC), &woken_);
}

std::unique_ptr<serving::Alarm> CompletionThread::MakeAlarm(std::function<void()> ring) {
  return std::make_unique<QueueAlarm>(*this, std::move(ring));
}

void CompletionThread::Run() {
  for (;;) {
    void* call = nullptr;
    bool ok = false;
    const Seconds next = alarms_.empty() ? kNever : alarms_.begin()->first;
    const auto status = queue_->AsyncNext(&call, &ok, TimeOf(next));
    if (status == grpc::CompletionQueue::SHUTDOWN) return;
    if (status == grpc::CompletionQueue::GOT_EVENT) static_cast<PendingCall*>(call)->Finish(ok);
    RingAlarms();
  }
}

void CompletionThread::RunPosted() {
  std::vector<std::function<void()>> posted;
  {
    const system::MutexLock lock(mutex_);
    posted.swap(posted_);
  }
  for (const std::function<void()>& work : posted) work();
}

void CompletionThread::RingAlarms() {
  if (alarms_.empty()) return;
  const Seconds now = Now();
  while (!alarms_.empty() && alarms_.begin()->first <= now) alarms_.begin()->second->Ring();
}

}  // namespace headrace::extproc
