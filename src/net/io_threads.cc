#include "net/io_threads.h"

#include <future>
#include <thread>
#include <utility>

#include "net/suspension.h"
#include "net/timing_wheel.h"

namespace headrace::net {

// The outermost coroutine: nobody waits for it, and it destroys itself at its end.
struct IoThread::Spawned {
  using promise_type = SpawnedPromise;
};

struct IoThread::SpawnedPromise {
  SpawnedPromise(IoThread& on, const std::function<Task<void>()>& /*body*/) : thread(on) {
    next = thread.spawned_;
    if (next != nullptr) next->previous = this;
    thread.spawned_ = this;
  }
  ~SpawnedPromise() {
    if (next != nullptr) next->previous = previous;
    (previous != nullptr ? previous->next : thread.spawned_) = next;
  }
  SpawnedPromise(const SpawnedPromise&) = delete;
  SpawnedPromise& operator=(const SpawnedPromise&) = delete;

  Spawned get_return_object() noexcept { return {}; }
  std::suspend_never initial_suspend() noexcept { return {}; }
  std::suspend_never final_suspend() noexcept { return {}; }
  void return_void() noexcept {}
  void unhandled_exception() noexcept { std::terminate(); }

  IoThread& thread;
  SpawnedPromise* next = nullptr;  // The thread's others.
  SpawnedPromise* previous = nullptr;
};

// --- IoThread

IoThread::IoThread(int index) : index_(index), deadlines_(std::make_unique<TimingWheel>(loop_)) {}

IoThread::~IoThread() {
  // Coroutines first: they may use all the rest.
  while (spawned_ != nullptr) {
    std::coroutine_handle<SpawnedPromise>::from_promise(*spawned_).destroy();
  }
  loop_.Discard();
}

void IoThread::Post(std::function<void()> work) { loop_.Post(std::move(work)); }

void IoThread::Run(std::function<void()> work) {
  std::promise<void> done;
  Post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

IoThread::Spawned IoThread::RunSpawned(IoThread& /*thread*/, std::function<Task<void>()> body) {
  co_await body();
}

void IoThread::Spawn(std::function<Task<void>()> body) {
  Post([this, body = std::move(body)]() mutable { RunSpawned(*this, std::move(body)); });
}

Task<void> IoThread::Yield() {
  Suspension turn;
  Post([&turn] { turn.Resume(); });
  co_await turn.Wait();
}

Task<void> IoThread::RunAside(const std::function<void()>& work) {
  Suspension done;
  PostAside([this, &work, &done] {
    work();
    Post([&done] { done.Resume(); });
  });
  co_await done.Wait();
}

void IoThread::PostAside(std::function<void()> work) { aside_->Post(std::move(work)); }

Task<void> IoThread::SleepUntil(Seconds deadline) {
  Suspension sleep;
  loop_.At(deadline, [&sleep] { sleep.Resume(); });
  co_await sleep.Wait();
}

// --- IoThreads

struct IoThreads::Runner {
  explicit Runner(IoThread& io) : thread([&io] { io.loop().Run(); }) {}

  std::thread thread;
};

IoThreads::IoThreads(int count) {
  for (int i = 0; i < count; ++i) threads_.push_back(std::make_unique<IoThread>(i));
  for (auto& thread : threads_) thread->aside_ = &aside_;
  for (auto& thread : threads_) runners_.push_back(std::make_unique<Runner>(*thread));
  runners_.push_back(std::make_unique<Runner>(aside_));
}

IoThreads::~IoThreads() {
  for (auto& thread : threads_) thread->loop().Stop();
  aside_.loop().Stop();
  for (auto& runner : runners_) runner->thread.join();
  runners_.clear();
}

}  // namespace headrace::net
