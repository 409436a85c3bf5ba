// The one scheduler: decides which request goes where and when, or that it has to be refused.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "fleet/fleet.h"
#include "fleet/load_model.h"
#include "predict/length_predictor.h"
#include "routing/policy.h"
#include "scheduler/assessment.h"
#include "scheduler/events.h"
#include "scheduler/wait_queue.h"

namespace headrace::scheduler {

// One per model. A state machine without threads, sockets, clock or log: a shell (the gateway, the
// simulator) tells it what happened and carries out the decisions that it appends. Times are
// seconds on the shell's monotonic clock and must not go backwards. Same events, same seed: same
// decisions.
//
// A request is arriving → waiting → running → gone. Whatever its end, its place in the queue and
// its load are given back exactly once; an event that names a request that is gone does nothing.
//
// Waiting requests are looked at again when something arrives, ends, when the fleet or a profile
// changes, and at NextWakeup(). An event costs O(deployments + log n), one that frees capacity also
// O(sub-queues · deployments), for n requests waiting. Not thread-safe.
class Scheduler {
 public:
  Scheduler(const SchedulerOptions& options, std::unique_ptr<fleet::LoadModel> model,
            std::uint64_t seed);

  // Each of these may dispatch or refuse requests besides its own, in the order given; what is too
  // much for one event follows with the Tick that NextWakeup() asks for.
  RequestId Arrive(const Arrival& arrival, Seconds now, Decisions& decisions);
  // A running request has ended. False when there is no such running request.
  bool Complete(RequestId id, const Completion& completion, Seconds now, Decisions& decisions);
  // The client has gone, whether the request waits or runs. False when it is gone already.
  bool Cancel(RequestId id, Seconds now, Decisions& decisions);
  // The endpoint did not take the request: it waits again, before those that came after it, with
  // its first arrival time. False when there is no such running request.
  bool Return(RequestId id, Seconds now, Decisions& decisions);
  void UpdateFleet(std::span<const fleet::DeploymentSpec> deployments, Seconds now,
                   Decisions& decisions);
  // Null takes the profile away. False when there is no such deployment.
  bool SetProfile(const std::string& deployment, std::shared_ptr<const profile::GpuProfile> profile,
                  Seconds now, Decisions& decisions);
  void SetUp(fleet::EndpointId endpoint, bool up, Seconds now, Decisions& decisions);
  void Tick(Seconds now, Decisions& decisions);

  // The length that is reckoned with for the answer to a request that has just arrived.
  Tokens ExpectedOutput(RequestId id) const { return records_[SlotOf(id)].length.tokens; }

  // When Tick is next due, whatever else happens: 0, at once, when the last event left something to
  // go on with; kNever when nothing waits for time to pass.
  Seconds NextWakeup() const;

  const SchedulerOptions& options() const { return options_; }
  const fleet::Fleet& fleet() const { return fleet_; }
  const WaitQueue& queue() const { return queue_; }
  const predict::LengthPredictor& length_predictor() const { return predictor_; }
  std::size_t queue_bytes() const { return queue_bytes_; }
  std::size_t waiting() const { return queue_.size(); }
  std::size_t running() const { return static_cast<std::size_t>(fleet_.in_flight()); }

  // What every deployment could do for a request that arrives now with an answer of this length, by
  // deployment: the reasons behind a decision, for error texts and status pages.
  std::vector<Verdict> Explain(const Arrival& arrival, Tokens output_tokens, Seconds now) const;

 private:
  enum class State : std::uint8_t { kFree, kWaiting, kRunning };
  struct Record {
    RequestId id = 0;
    std::uint64_t tag = 0;
    State state = State::kFree;
    Seconds arrived = 0;
    Tokens prompt_tokens = 0;
    predict::LengthEstimate length;
    std::optional<slo::Slo> slo;
    std::size_t bytes = 0;
    const routing::PolicyInfo* policy = nullptr;
    WaitQueue::Key key = 0;  // Its sub-queue, for as long as it lives: nobody overtakes inside one.
    // What the profiles say about it, as of `epoch`.
    std::uint64_t epoch = 0;
    std::vector<routing::Candidate> candidates;  // Most relaxed first.
    std::vector<fleet::DeploymentId>
        unprofiled;  // Those that nothing is known about, for this request.
    FallbackCause cause = FallbackCause::kNone;
    Seconds slo_deadline = kNever;
    // While it runs:
    fleet::EndpointId endpoint = 0;
    fleet::Load share = 0;
  };

  static Slot SlotOf(RequestId id) { return static_cast<Slot>(id); }
  Record* Find(RequestId id, State state);
  Slot NewRecord();
  void Free(Record& record);

  // Reads the profiles for a request: candidates, deadline, fallback cause.
  void Reassess(Record& record);
  RequestDemand DemandOf(const Record& record) const;
  Seconds DeadlineOf(const Record& record) const;
  bool NeedsFallback(const Record& record) const { return record.cause != FallbackCause::kNone; }

  // Dispatches the request if some endpoint takes it now.
  bool TryDispatch(Record& record, Seconds now, Decisions& decisions);
  // The request is past its deadline: it goes where nothing is known about its SLO, or is refused.
  void Settle(Record& record, Seconds now, Decisions& decisions);
  void Dispatch(Record& record, fleet::EndpointId endpoint, const routing::PolicyInfo& policy,
                FallbackCause cause, Seconds now, Decisions& decisions);
  void Refuse(Record& record, RefusalReason reason, Seconds now, Decisions& decisions);
  // What the request takes of an endpoint, whoever sends it there; 0 where no profile says.
  fleet::Load ShareAt(const Record& record, fleet::EndpointId endpoint) const;
  static bool IsUnprofiled(const Record& record, fleet::DeploymentId deployment);
  std::optional<fleet::EndpointId> LeastRequestAmong(
      std::span<const fleet::DeploymentId> deployments) const;
  void Enqueue(Slot slot, bool front);
  std::size_t Dequeue(Slot slot);

  // Refuses what is past its deadline, then tries the heads of the sub-queues, most urgent first.
  // One event decides about or reassesses a bounded number of requests, so that none holds up the
  // next one for long; NextWakeup() asks for the rest at once. `left` is how many it still may.
  void Serve(Seconds now, Decisions& decisions);
  // Everything that waits, because no endpoint is up any more.
  void RefuseAll(Seconds now, int& left, Decisions& decisions);
  void Expire(Seconds now, int& left, Decisions& decisions);
  void ServeHeads(Seconds now, int& left, Decisions& decisions);
  // What a profile or fleet change does: everything waiting is reassessed, heads at once, the rest
  // a slice at a time so that no decision waits for the whole queue.
  void BeginEpoch(Seconds now, Decisions& decisions);
  void SweepStale();
  bool EndRunning(RequestId id, Seconds now, Record** record);
  Seconds RetryAfter(RefusalReason reason) const;
  routing::Policy& PolicyOf(const routing::PolicyInfo& info);

  SchedulerOptions options_;
  std::unique_ptr<fleet::LoadModel> model_;
  Rng rng_;
  fleet::Fleet fleet_;
  predict::LengthPredictor predictor_;
  std::vector<std::unique_ptr<routing::Policy>>
      policies_;  // By place in Policies(), made when first used.
  std::vector<Record> records_;
  std::vector<Slot> free_;
  WaitQueue queue_;
  std::size_t queue_bytes_ = 0;
  bool more_to_decide_ = false;  // The last event had more to decide than one may.
  std::uint64_t epoch_ = 1;
  // Records from here to there may still be as of an earlier epoch.
  std::size_t sweep_at_ = 0;
  std::size_t sweep_end_ = 0;
  Tokens typical_output_ = 0;  // A typical answer by the profiles, for a cold start.
  Seconds last_end_ = 0;
  Seconds mean_gap_ = 0;  // Decayed mean time between ends of running requests; 0 = none yet.
};

}  // namespace headrace::scheduler
