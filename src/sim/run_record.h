// Keeps the books of one simulated run.
#pragma once

#include <span>
#include <vector>

#include "scheduler/scheduler.h"
#include "sim/simulation.h"

namespace headrace::sim {

// Counts what falls into the counted time, clips engines' busy time to it, and samples the
// timeline. Not thread-safe.
class RunRecord {
 public:
  explicit RunRecord(const SimulationSpec& spec);

  Seconds now() const { return now_; }
  void set_now(Seconds now) { now_ = now; }
  // Whether a request that arrived then counts.
  bool Counts(Seconds arrived) const { return arrived >= begin_ && arrived < end_; }
  // Counted requests that have not ended.
  std::uint64_t open() const { return open_; }

  void Offer(std::uint32_t class_index, Seconds arrived);
  // One whose response is cut at the context.
  void Cut(std::uint32_t class_index, Seconds arrived) {
    result_.cut[class_index] += Counts(arrived);
  }
  void Sent(std::uint32_t deployment, std::uint32_t class_index);
  // Judges a counted request, and writes into it whether it attained.
  void End(RequestRecord& record);

  // One of a deployment's engines begins to have work, or has none any more.
  void EngineWorks(std::uint32_t deployment, Seconds now) { ChangeBusy(deployment, now, 1); }
  void EngineIdles(std::uint32_t deployment, Seconds now) { ChangeBusy(deployment, now, -1); }
  void EngineIdles(std::uint32_t deployment) { EngineIdles(deployment, now_); }

  Seconds NextSample() const;
  // `schedulers`: all that serve the fleet.
  void Sample(std::span<const scheduler::Scheduler* const> schedulers);

  SimulationResult Finish(const std::vector<std::uint64_t>& preemptions, std::uint64_t simulated);

 private:
  struct Busy {
    int engines = 0;
    Seconds since = 0;
    Seconds total = 0;
  };

  void ChangeBusy(std::uint32_t deployment, Seconds now, int by);
  TimelineStep& StepOf(Seconds arrived);

  const SimulationSpec& spec_;
  Seconds begin_;
  Seconds end_;
  Seconds now_ = 0;
  std::uint64_t open_ = 0;
  std::vector<Busy> busy_;  // By deployment.
  std::size_t sampled_ = 0;
  SimulationResult result_;
};

}  // namespace headrace::sim
