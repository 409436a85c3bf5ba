// Runs serving on the threads of net.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "net/io_threads.h"
#include "net/timing_wheel.h"
#include "serving/executor.h"
#include "system/clock.h"

namespace headrace::gateway {

class IoExecutor final : public serving::Executor {
 public:
  explicit IoExecutor(net::IoThread& thread) : thread_(thread) {}

  Seconds Now() const override { return system::MonotonicNow(); }
  void Post(std::function<void()> work) override { thread_.Post(std::move(work)); }
  std::unique_ptr<serving::Alarm> MakeAlarm(std::function<void()> ring) override {
    return std::make_unique<WheelAlarm>(thread_.deadlines(), std::move(ring));
  }

 private:
  class WheelAlarm final : public serving::Alarm {
   public:
    WheelAlarm(net::TimingWheel& wheel, std::function<void()> ring)
        : deadline_(wheel, std::move(ring)) {}
    void Set(Seconds time) override { deadline_.Set(time); }

   private:
    net::Deadline deadline_;
  };

  net::IoThread& thread_;
};

}  // namespace headrace::gateway
