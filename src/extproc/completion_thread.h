// A thread of requests: gRPC's events of its streams, and what serving wants done on it.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "serving/executor.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::extproc {

// What gRPC is asked to do, until it is done: the tag of a completion queue.
class PendingCall {
 public:
  // Called on the queue's thread. `ok`: it was done, not given up.
  using Done = void (*)(void* owner, bool ok);
  PendingCall(void* owner, Done done) : owner_(owner), done_(done) {}
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;

  void Finish(bool ok) { done_(owner_, ok); }

 private:
  void* const owner_;
  const Done done_;
};

// One completion queue and the thread that takes from it. What lives on this thread needs no lock.
class CompletionThread final : public serving::Executor {
 public:
  explicit CompletionThread(std::unique_ptr<grpc::ServerCompletionQueue> queue);
  ~CompletionThread() override;
  CompletionThread(const CompletionThread&) = delete;
  CompletionThread& operator=(const CompletionThread&) = delete;

  grpc::ServerCompletionQueue& queue() { return *queue_; }
  void Start();
  // After the server that it belongs to has been shut down, which ends all calls: the thread ends
  // once nobody lives on it any more. What is posted from then on is never run.
  void Stop();

  // Who asks gRPC for something lives on the thread until that is done. On the thread, or before it
  // has started.
  void Enter() { ++living_; }
  void Leave();

  Seconds Now() const override { return system::MonotonicNow(); }
  void Post(std::function<void()> work) override;
  std::unique_ptr<serving::Alarm> MakeAlarm(std::function<void()> ring) override;

 private:
  class QueueAlarm;

  void Run();
  void ShutDownIfEmpty();
  void RunPosted();
  void RingAlarms();

  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::multimap<Seconds, QueueAlarm*> alarms_;  // Those that are set.
  int living_ = 0;
  bool stopping_ = false;
  system::Mutex mutex_;
  std::vector<std::function<void()>> posted_ HEADRACE_GUARDED_BY(mutex_);
  bool shut_down_ HEADRACE_GUARDED_BY(mutex_) = false;
  grpc::Alarm wake_ HEADRACE_GUARDED_BY(mutex_);
  PendingCall woken_;
  std::thread thread_;
};

}  // namespace headrace::extproc
