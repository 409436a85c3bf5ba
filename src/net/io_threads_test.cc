#include "net/io_threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>

#include "net/test_one_shot.h"
#include "net/test_peers.h"
#include "net/timing_wheel.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

constexpr Seconds kLong = 30;

TEST(IoThreads, WorkRunsInOrderOnItsThread) {
  IoThreads threads(2);
  std::vector<int> order;
  std::thread::id ran_on;
  for (int i = 0; i < 100; ++i) threads[1].Post([&order, i] { order.push_back(i); });
  threads[1].Run([&] { ran_on = std::this_thread::get_id(); });
  EXPECT_NE(ran_on, std::this_thread::get_id());
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(threads[1].index(), 1);
}

TEST(IoThreads, WorkAsideKeepsNoThreadFromItsLoop) {
  IoThreads threads(1);
  std::promise<void> loop_ran;
  std::thread::id aside;
  std::thread::id after;
  const std::function<void()> work = [&] {
    aside = std::this_thread::get_id();
    loop_ran.get_future().wait();  // For ever, if this were the loop's thread.
  };
  const bool ended = RunTask<bool>(threads[0], [&]() -> Task<bool> {
    threads[0].Post([&] { loop_ran.set_value(); });
    co_await threads[0].RunAside(work);
    after = std::this_thread::get_id();
    co_return true;
  });
  EXPECT_TRUE(ended);
  EXPECT_NE(aside, after);
  threads[0].Run([&] { EXPECT_EQ(after, std::this_thread::get_id()); });
}

TEST(IoThreads, WhatWaitsAsideIsDestroyedWithTheThreads) {
  struct Witness {
    explicit Witness(bool& the_gone) : gone(the_gone) {}
    ~Witness() { gone = true; }
    bool& gone;
  };
  bool gone = false;
  bool ran = false;
  std::promise<void> ends;
  const std::function<void()> work = [&] { ran = true; };
  {
    IoThreads threads(1);
    std::promise<void> waits;
    threads[0].PostAside([&] { ends.get_future().wait(); });
    threads[0].Spawn([&]() -> Task<void> {
      const Witness witness(gone);
      threads[0].Post([&] { waits.set_value(); });
      co_await threads[0].RunAside(work);
    });
    waits.get_future().wait();
    threads[0].Run([&] { threads[0].PostAside([] {}); });
    ends.set_value();
  }
  EXPECT_TRUE(gone);
}

TEST(IoThreads, WhatASleeperSendsAsideAtItsEndIsDestroyedToo) {
  struct SendsAside {
    ~SendsAside() {
      thread.PostAside([kept = held] {});
    }
    IoThread& thread;
    std::shared_ptr<int> held;
  };
  const auto held = std::make_shared<int>();
  {
    IoThreads threads(1);
    std::promise<void> asleep;
    threads[0].Spawn([&]() -> Task<void> {
      const SendsAside at_the_end{threads[0], held};
      asleep.set_value();
      co_await threads[0].SleepUntil(kNever);
    });
    asleep.get_future().wait();
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(IoThreads, SleepersAreDestroyedWithTheirThread) {
  struct Witness {
    explicit Witness(std::atomic<int>& the_gone) : gone(the_gone) {}
    ~Witness() { ++gone; }
    std::atomic<int>& gone;
  };
  std::atomic<int> gone = 0;
  {
    IoThreads threads(1);
    IoThread& thread = threads[0];
    std::promise<void> asleep;
    thread.Spawn([&]() -> Task<void> {
      const Witness witness(gone);
      OneShot<int> never(thread);
      co_await never.Wait(kNever);
    });
    thread.Spawn([&]() -> Task<void> {
      const Witness witness(gone);
      asleep.set_value();
      co_await thread.SleepUntil(kNever);
    });
    asleep.get_future().wait();
  }
  EXPECT_EQ(gone, 2);
}

TEST(IoThreads, SleepUntilWaitsAsLongAsItSays) {
  IoThreads threads(1);
  const Seconds until = system::MonotonicNow() + 0.02;
  const Seconds woke = RunTask<Seconds>(threads[0], [&]() -> Task<Seconds> {
    co_await threads[0].SleepUntil(until);
    co_return system::MonotonicNow();
  });
  EXPECT_GE(woke, until);
}

TEST(OneShot, TakesTheFirstValueFromAnotherThread) {
  IoThreads threads(2);
  const auto value =
      RunTask<std::optional<std::string>>(threads[0], [&]() -> Task<std::optional<std::string>> {
        OneShot<std::string> shot(threads[0]);
        threads[1].Post([setter = shot.setter()] {
          setter.Set("first");
          setter.Set("second");
        });
        co_return co_await shot.Wait(system::MonotonicNow() + kLong);
      });
  EXPECT_EQ(value, "first");
}

TEST(OneShot, ValueSetBeforeTheWaitIsThereAtOnce) {
  IoThreads threads(1);
  const auto value = RunTask<std::optional<int>>(threads[0], [&]() -> Task<std::optional<int>> {
    OneShot<int> shot(threads[0]);
    shot.setter().SetHere(7);
    shot.setter().SetHere(8);
    co_return co_await shot.Wait(system::MonotonicNow() + kLong);
  });
  EXPECT_EQ(value, 7);
}

TEST(OneShot, DeadlinePassesAndTheValueMayStillCome) {
  IoThreads threads(1);
  const bool ok = RunTask<bool>(threads[0], [&]() -> Task<bool> {
    OneShot<int> shot(threads[0]);
    const Seconds deadline = system::MonotonicNow() + 0.03;
    const std::optional<int> nothing = co_await shot.Wait(deadline);
    const bool late = system::MonotonicNow() >= deadline;
    const auto setter = shot.setter();
    threads[0].Post([setter] { setter.SetHere(5); });
    const std::optional<int> value = co_await shot.Wait(system::MonotonicNow() + kLong);
    co_return !nothing && late && value == 5;
  });
  EXPECT_TRUE(ok);
}

TEST(OneShot, SetterOutlivesTheWaiter) {
  IoThreads threads(1);
  std::optional<OneShot<int>::Setter> setter;
  RunTask<bool>(threads[0], [&]() -> Task<bool> {
    OneShot<int> shot(threads[0]);
    setter.emplace(shot.setter());
    co_return !co_await shot.Wait(system::MonotonicNow());
  });
  setter->Set(1);
  threads[0].Run([] {});
}

TEST(TimingWheel, CallsBackInTheOrderOfTime) {
  IoThreads threads(1);
  TimingWheel& wheel = threads[0].deadlines();
  std::vector<int> order;
  std::promise<void> all;
  std::vector<std::unique_ptr<Deadline>> deadlines;
  std::vector<Seconds> due;
  bool early = false;
  threads[0].Run([&] {
    const Seconds now = system::MonotonicNow();
    for (const int i : {3, 1, 0, 2}) {
      const Seconds at = now + 0.03 * i;
      deadlines.push_back(std::make_unique<Deadline>(wheel, [&, i, at] {
        early = early || system::MonotonicNow() < at;
        order.push_back(i);
        if (order.size() == 4) all.set_value();
      }));
      deadlines.back()->Set(at);
    }
  });
  all.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_FALSE(early);
  threads[0].Run([&] { deadlines.clear(); });
}

TEST(TimingWheel, MovedAndClearedDeadlinesKeepTheirLastTime) {
  IoThreads threads(1);
  TimingWheel& wheel = threads[0].deadlines();
  std::promise<void> done;
  std::vector<std::string> called;
  std::optional<Deadline> cleared;
  std::optional<Deadline> later;
  std::optional<Deadline> earlier;
  std::optional<Deadline> destroyed;
  threads[0].Run([&] {
    const Seconds now = system::MonotonicNow();
    cleared.emplace(wheel, [&] { called.emplace_back("cleared"); });
    later.emplace(wheel, [&] {
      called.emplace_back("later");
      done.set_value();
    });
    destroyed.emplace(wheel, [&] { called.emplace_back("destroyed"); });
    // It may destroy others, and itself.
    earlier.emplace(wheel, [&] {
      called.emplace_back("earlier");
      destroyed.reset();
      earlier.reset();
    });
    cleared->Set(now + 0.01);
    cleared->Clear();
    later->Set(now);
    later->Set(now + 0.08);
    earlier->Set(now + kLong);
    earlier->Set(now + 0.01);
    destroyed->Set(now + 0.05);
  });
  done.get_future().wait();
  EXPECT_EQ(called, (std::vector<std::string>{"earlier", "later"}));
  threads[0].Run([&] {
    cleared.reset();
    later.reset();
  });
}

}  // namespace
}  // namespace headrace::net
