#include "net/io_threads.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <exception>
#include <future>
#include <thread>

#include "net/suspension.h"
#include "net/timing_wheel.h"

namespace headrace::net {
namespace {

using Executor = boost::asio::io_context::executor_type;
using Timer = boost::asio::basic_waitable_timer<
    std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>, Executor>;

// kNever, as far as the clock's 64 bits of nanoseconds go.
constexpr Seconds kEndOfTime = 9e9;

}  // namespace

// --- Suspension

Suspension::~Suspension() {
  if (handler_) Take();
}

std::optional<Suspension::Handler> Suspension::Take() {
  if (next_ != nullptr) next_->previous_ = previous_;
  (previous_ != nullptr ? previous_->next_ : thread_.sleepers_) = next_;
  next_ = previous_ = nullptr;
  std::optional<Handler> handler = std::move(handler_);
  handler_.reset();
  return handler;
}

Task<void> Suspension::Wait() {
  auto initiate = [this](Handler handler) {
    handler_.emplace(std::move(handler));
    next_ = thread_.sleepers_;
    if (next_ != nullptr) next_->previous_ = this;
    thread_.sleepers_ = this;
  };
  const Token token;
  return boost::asio::async_initiate<const Token, void()>(initiate, token);
}

void Suspension::Resume() {
  if (!handler_) return;
  if (std::optional<Handler> handler = Take()) (*std::move(handler))();
}

// --- IoThread

IoThread::IoThread(int index)
    : index_(index),
      context_(std::make_unique<boost::asio::io_context>(1)),
      deadlines_(std::make_unique<TimingWheel>(*context_)) {}

IoThread::~IoThread() {
  // What sleeps is destroyed first: it may use all the rest. A sleeper can own the object that
  // keeps it asleep, so each is taken out before it is destroyed.
  while (sleepers_ != nullptr) sleepers_->Take();
  deadlines_->Detach();
  context_.reset();
}

void IoThread::Post(std::function<void()> work) { boost::asio::post(*context_, std::move(work)); }

void IoThread::Run(std::function<void()> work) {
  std::promise<void> done;
  Post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

void IoThread::Spawn(std::function<Task<void>()> body) {
  boost::asio::co_spawn(context_->get_executor(), std::move(body),
                        [](const std::exception_ptr& error) {
                          if (error) std::rethrow_exception(error);
                        });
}

Task<void> IoThread::Yield() {
  const boost::asio::use_awaitable_t<Executor> token;
  co_await boost::asio::post(context_->get_executor(), token);
}

Task<void> IoThread::RunAside(const std::function<void()>& work) {
  using Token = boost::asio::use_awaitable_t<Executor>;
  auto initiate = [this, &work](auto handler) {
    boost::asio::post(aside_->context(), [this, &work, handler = std::move(handler)]() mutable {
      work();
      boost::asio::post(*context_, std::move(handler));
    });
  };
  const Token token;
  co_await boost::asio::async_initiate<const Token, void()>(initiate, token);
}

void IoThread::PostAside(std::function<void()> work) { aside_->Post(std::move(work)); }

Task<void> IoThread::SleepUntil(Seconds deadline) {
  const std::chrono::duration<double> at(std::min(deadline, kEndOfTime));
  Timer timer(*context_, std::chrono::steady_clock::time_point(
                             std::chrono::ceil<std::chrono::steady_clock::duration>(at)));
  const boost::asio::use_awaitable_t<Executor> token;
  co_await timer.async_wait(token);
}

// --- IoThreads

struct IoThreads::Runner {
  explicit Runner(IoThread& io)
      : work(io.context().get_executor()), thread([&io] { io.context().run(); }) {}

  boost::asio::executor_work_guard<Executor> work;
  std::thread thread;
};

IoThreads::IoThreads(int count) {
  for (int i = 0; i < count; ++i) threads_.push_back(std::make_unique<IoThread>(i));
  for (auto& thread : threads_) thread->aside_ = &aside_;
  for (auto& thread : threads_) runners_.push_back(std::make_unique<Runner>(*thread));
  runners_.push_back(std::make_unique<Runner>(aside_));
}

IoThreads::~IoThreads() {
  for (auto& thread : threads_) thread->context().stop();
  aside_.context().stop();
  for (auto& runner : runners_) runner->thread.join();
  runners_.clear();
}

}  // namespace headrace::net
