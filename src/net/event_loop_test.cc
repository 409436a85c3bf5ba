#include "net/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <future>
#include <stdexcept>
#include <string>

#include "net/io_threads.h"
#include "net/suspension.h"
#include "net/test_peers.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

// Two connected sockets, one of them watched.
struct WatchedPair final : Watcher {
  explicit WatchedPair(EventLoop& on) : loop(on) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
    EXPECT_TRUE(loop.Watch(ends[0], *this));
  }
  ~WatchedPair() {
    loop.Forget(*this);
    for (const int end : ends) ::close(end);
  }
  WatchedPair(const WatchedPair&) = delete;
  WatchedPair& operator=(const WatchedPair&) = delete;

  void OnEvents(std::uint32_t events) override {
    if ((events & EPOLLIN) != 0 && readable) readable();
  }
  void OnTurn() override {
    if (turn) turn();
  }
  void SendToIt() const { EXPECT_EQ(::write(ends[1], "x", 1), 1); }

  EventLoop& loop;
  std::array<int, 2> ends = {};
  std::function<void()> readable;
  std::function<void()> turn;
};

class EventLoopTest : public ::testing::Test {
 protected:
  IoThreads threads_{1};
  EventLoop& loop_ = threads_[0].loop();
};

TEST_F(EventLoopTest, AChangeIsToldOnceForEachArrival) {
  std::optional<WatchedPair> pair;
  int told = 0;
  std::promise<void> second;
  threads_[0].Run([&] {
    pair.emplace(loop_);
    pair->readable = [&] {
      if (++told == 2) second.set_value();
    };
    pair->SendToIt();
  });
  // Nothing was read of it: it is not told again by itself.
  for (int i = 0; i < 10; ++i) threads_[0].Run([] {});
  threads_[0].Run([&] {
    EXPECT_EQ(told, 1);
    pair->SendToIt();
  });
  second.get_future().wait();
  threads_[0].Run([&] { pair.reset(); });
  EXPECT_EQ(told, 2);
}

// Both have something to tell, in the same batch or waiting for their turn.
TEST_F(EventLoopTest, WhatIsForgottenIsNotCalledEvenIfItsEventIsHere) {
  std::optional<WatchedPair> first;
  std::optional<WatchedPair> second;
  int told = 0;
  threads_[0].Run([&] {
    first.emplace(loop_);
    second.emplace(loop_);
    first->readable = first->turn = [&] {
      ++told;
      second.reset();
    };
    second->readable = second->turn = [&] {
      ++told;
      first.reset();
    };
    first->SendToIt();
    second->SendToIt();
    loop_.CallSoon(*first);
    loop_.CallSoon(*second);
  });
  for (int i = 0; i < 10; ++i) threads_[0].Run([] {});
  threads_[0].Run([&] {
    EXPECT_GE(told, 1);
    EXPECT_NE(first.has_value(), second.has_value());
    first.reset();
    second.reset();
  });
}

TEST_F(EventLoopTest, TimersRunInTheirOrderAndNeverEarly) {
  std::string order;
  std::promise<void> all;
  bool early = false;
  threads_[0].Run([&] {
    const Seconds now = system::MonotonicNow();
    for (const int i : {2, 0, 3, 1}) {
      const Seconds at = now + 0.005 * i;
      loop_.At(at, [&, i, at] {
        early = early || system::MonotonicNow() < at;
        order += static_cast<char>('0' + i);
        if (i == 3) all.set_value();
      });
    }
  });
  all.get_future().wait();
  EXPECT_EQ(order, "0123");
  EXPECT_FALSE(early);
}

TEST_F(EventLoopTest, ATimeBeforeTheClocksBeginningHasCome) {
  std::promise<void> ran;
  threads_[0].Run([&] { loop_.At(-1, [&] { ran.set_value(); }); });
  ran.get_future().wait();
}

TEST_F(EventLoopTest, WorkThatNeverRanIsDestroyedWithIt) {
  auto held = std::make_shared<int>();
  {
    IoThread never_run(0);
    never_run.Post([held] {});
    never_run.loop().At(system::MonotonicNow(), [held] {});
    EXPECT_EQ(held.use_count(), 3);
  }
  EXPECT_EQ(held.use_count(), 1);
}

Task<int> Twice(int value) {
  if (value < 0) throw std::runtime_error("negative");
  co_return 2 * value;
}

TEST_F(EventLoopTest, TasksGiveTheirCallerAValueOrAnException) {
  const std::string got = RunTask<std::string>(threads_[0], []() -> Task<std::string> {
    std::string text = std::to_string(co_await Twice(4));
    try {
      co_await Twice(-1);
    } catch (const std::exception& error) {
      text += error.what();
    }
    co_return text;
  });
  EXPECT_EQ(got, "8negative");
}

// The stack would be too small if each call that is over at once left a frame on it.
TEST_F(EventLoopTest, ManyTasksInTurnNeedNoStack) {
  const int sum = RunTask<int>(threads_[0], []() -> Task<int> {
    int total = 0;
    for (int i = 0; i < 1'000'000; ++i) total += co_await Twice(i % 2);
    co_return total;
  });
  EXPECT_EQ(sum, 1'000'000);
}

}  // namespace
}  // namespace headrace::net
