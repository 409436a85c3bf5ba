// The one scheduler: decides which request goes where and when, or that it has to be refused.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fleet/engine_fault.h"
#include "fleet/fleet.h"
#include "fleet/load_model.h"
#include "predict/length_predictor.h"
#include "scheduler/assessment.h"
#include "scheduler/assessment_cache.h"
#include "scheduler/backlog.h"
#include "scheduler/dispatcher.h"
#include "scheduler/events.h"
#include "scheduler/precedence.h"
#include "scheduler/record_table.h"
#include "scheduler/tenant_shares.h"
#include "scheduler/wait_queue.h"

namespace headrace::scheduler {

// One per pool. A state machine without threads, sockets, clock or log: a shell (the gateway, the
// simulator) tells it what happened and carries out the decisions that it appends. Times are
// seconds on the shell's monotonic clock and must not go backwards. Same events, same seed: same
// decisions.
//
// A request is arriving → waiting → running → gone. However it ends, its place in the queue and its
// load are given back exactly once; an event that names a request that is gone does nothing.
//
// Waiting requests are tried again when something arrives, ends, when the fleet, a profile or the
// options change, and at NextWakeup(). An event costs O(deployments + log n), one that frees
// capacity also O(sub-queues · deployments), for n requests waiting. Not thread-safe.
class Scheduler {
 public:
  // `options` must name a policy.
  Scheduler(const SchedulerOptions& options, std::unique_ptr<fleet::LoadModel> model,
            std::uint64_t seed, const Experiment& experiment = {});
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Each of these may dispatch or refuse requests besides its own, in the order given; what is too
  // much for one event follows with the Tick that NextWakeup() asks for.
  RequestId Arrive(const Arrival& arrival, Seconds now, Decisions& decisions);
  // A running request has ended. False if there is no such running request.
  bool Complete(RequestId id, const Completion& completion, Seconds now, Decisions& decisions);
  // The client has gone, whether the request waits or runs. False if it is gone already.
  bool Cancel(RequestId id, Seconds now, Decisions& decisions);
  // The endpoint did not serve the request, because of `fault` (nullopt: not its own), and nothing
  // of an answer was used: it waits again, before those that came after it, with its first arrival
  // time. It does not go to an endpoint that failed it while another one is up for it. Nothing is
  // learned from the try, and its tenant is not charged for it. False if there is no such running
  // request. `retry_after`: how long a busy endpoint asks to be left alone.
  bool Return(RequestId id, std::optional<fleet::EngineFault> fault, Seconds now,
              Decisions& decisions, Seconds retry_after = 0);
  // Another endpoint serves it than the one it was sent to: the transport has taken it there, as
  // the first one failed it (`fault`). From now on it runs there, as if it had been sent there, but
  // nothing is learned of the endpoint's speed. nullopt: by one that is not in the fleet; the
  // request is gone. False if there is no such running request.
  bool Move(RequestId id, std::optional<fleet::EndpointId> to, fleet::EngineFault fault,
            Seconds now, Decisions& decisions);
  void UpdateFleet(std::span<const fleet::DeploymentSpec> deployments, Seconds now,
                   Decisions& decisions);
  // Null takes the profile away. False if there is no such deployment.
  bool SetProfile(const std::string& deployment, std::shared_ptr<const profile::GpuProfile> profile,
                  Seconds now, Decisions& decisions);
  void SetUp(fleet::EndpointId endpoint, bool up, Seconds now, Decisions& decisions);
  // What an endpoint says of its context, prompt and response together; 0 takes it back. It holds
  // where the deployment declares none.
  void SetMaxModelLen(fleet::EndpointId endpoint, Tokens max_model_len, Seconds now,
                      Decisions& decisions);
  // The same of its KV cache, in tokens: forecasts know then when it is full.
  void SetKvTokens(fleet::EndpointId endpoint, Tokens kv_tokens, Seconds now, Decisions& decisions);
  // Replaces the options. Requests that wait keep their places, policies and predicted lengths.
  void SetOptions(const SchedulerOptions& options, Seconds now, Decisions& decisions);
  void Tick(Seconds now, Decisions& decisions);

  // What the shell sees of a running request on its way; optional, but it makes the load model know
  // more. Nothing is decided by it: the next event is soon enough. A request that does not run is
  // ignored. `generated`: output tokens so far.
  void FirstToken(RequestId id, Seconds now);
  void Progress(RequestId id, Tokens generated, Seconds now);

  // What other replicas of the router send runs at their endpoints like what this one sends, and
  // teaches the same when it ends (replica::Merger). Nothing is decided by these. `at` may be
  // somewhat before `now`.
  struct ForeignRequest {
    fleet::EndpointId endpoint = 0;
    fleet::Residence residence;
    Tokens prompt_tokens = 0;
    bool prefilled = false;  // Its first token has come.
    bool late = false;       // It was heard of after its start: its end says nothing of steps.
  };
  // Of a demand without `lengths`, they are what responses are expected to be here, unless
  // `exact`.
  ForeignRequest StartForeign(fleet::EndpointId endpoint, fleet::Demand demand, bool exact,
                              Seconds now);
  void FirstTokenOfForeign(ForeignRequest& request, Seconds at);
  void ProgressOfForeign(const ForeignRequest& request, Tokens generated, Seconds now);
  void EndForeign(const ForeignRequest& request, const Completion& completion, Seconds now);
  // Follows several of these. There may be room now: what waits is tried at the next turn.
  void HeardOfOthers(Seconds now, Decisions& decisions);
  void SetTurns(const Turns& turns) { backlog_.SetTurns(turns); }
  // What the others are told of this queue. And of theirs: so many requests wait that may still be
  // in time, and who is next.
  QueueState queue_state() const { return backlog_.State(); }
  void SetForeignQueues(std::size_t waiting, std::span<const WaitingHead> heads) {
    backlog_.SetForeign(waiting, heads);
  }
  // See fleet::Fleet.
  void SetReplicas(int replicas, Seconds now, Decisions& decisions);
  void KeepJournal(bool keep) { fleet_.KeepJournal(keep); }
  fleet::Journal TakeJournal() { return fleet_.TakeJournal(); }

  // The shell's names of the requests that run at an endpoint.
  std::vector<std::uint64_t> RunningAt(fleet::EndpointId endpoint) const;
  // Whether a running request could go to another endpoint, which has not failed it.
  bool HasAlternative(RequestId id) const;

  // The length that was predicted for the response to a request that has just arrived.
  Tokens ExpectedOutput(RequestId id) const {
    return records_[RecordTable::SlotOf(id)].length.tokens;
  }

  // When Tick is next due if no event comes before: 0 (at once) if the last event left something to
  // go on with; kNever if nothing waits for time to pass.
  Seconds NextWakeup() const { return std::min(backlog_.NextWakeup(), fleet_.NextReturn()); }

  const SchedulerOptions& options() const { return options_; }
  const fleet::Fleet& fleet() const { return fleet_; }
  // What breakers did since this was last called.
  std::vector<fleet::BreakerChange> TakeBreakerChanges() { return fleet_.TakeBreakerChanges(); }
  const WaitQueue& queue() const { return backlog_.queue(); }
  const predict::LengthPredictor& length_predictor() const { return predictor_; }
  const TenantShares& tenant_shares() const { return shares_; }
  std::size_t queue_bytes() const { return backlog_.bytes(); }
  std::size_t waiting() const { return backlog_.queue().size(); }
  std::size_t running() const { return static_cast<std::size_t>(fleet_.in_flight()); }

  // What every deployment could do for a request that arrives now with a response of this length,
  // by deployment: the reasons behind a decision, for error texts and status pages.
  std::vector<Verdict> Explain(const Arrival& arrival, Tokens output_tokens, Seconds now) const;

 private:
  static WaitQueue::Key KeyOf(const Record& record);
  WaitQueue::Lane LaneOf(const Record& record, int priority) const;
  // A running request has left its endpoint; null if there is none. `judged`: what the completion
  // says is the endpoint's doing.
  Record* LeaveEndpoint(RequestId id, const Completion& completion, Seconds now, bool judged);
  // The same, and it has ended.
  Record* EndRunning(RequestId id, const Completion& completion, Seconds now, bool judged);
  // Endpoints whose time has come are back, then what waits is tried.
  void Drain(Seconds now, Decisions& decisions);
  // What the profiles say may have changed: everything that waits is assessed anew.
  void BeginEpoch(Seconds now, Decisions& decisions);

  // Each part uses those above it.
  SchedulerOptions options_;
  bool length_distributions_;
  fleet::Fleet fleet_;
  predict::LengthPredictor predictor_;
  RecordTable records_;
  TenantShares shares_;
  AssessmentCache assessments_;
  Dispatcher dispatcher_;
  Backlog backlog_;
};

}  // namespace headrace::scheduler
