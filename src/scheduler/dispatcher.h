// Decides about one request: where it goes now, or why it is refused.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/units.h"
#include "fleet/fleet.h"
#include "routing/policy.h"
#include "scheduler/events.h"
#include "scheduler/record_table.h"
#include "scheduler/tenant_shares.h"
#include "slo/slo.h"

namespace headrace::scheduler {

// Asks the request's policy, and its fallback where a profile or an SLO is missing; puts the
// request on its endpoint. The caller takes a request that has left out of the queue. Not
// thread-safe.
class Dispatcher {
 public:
  // What is passed in must outlive it.
  Dispatcher(const SchedulerOptions& options, fleet::Fleet& fleet, RecordTable& records,
             TenantShares& shares, std::uint64_t seed);

  // Dispatches the request if some endpoint takes it now. `waiting`: requests that wait and may
  // still be in time.
  bool TryDispatch(Record& record, std::size_t waiting, Seconds now, Decisions& decisions);
  // The request runs at the endpoint from now on, whoever has sent it there.
  void Place(Record& record, fleet::EndpointId endpoint, Seconds now);
  // Whether the request, which was just let wait, will not be in time and should make room.
  bool GivesUp(const Record& record);
  // For a request whose deadline has passed: it goes where nothing is known about its SLO, or is
  // refused. `waiting`: requests in the queue besides it that do not stand lower.
  void Settle(Record& record, std::size_t waiting, Seconds now, Decisions& decisions);
  void Refuse(Record& record, RefusalReason reason, std::size_t waiting, Seconds now,
              Decisions& decisions);

  // Whether an endpoint is up for the request, and not ejected, that has not failed it; `besides`,
  // where it runs, does not count either.
  bool HasAlternative(const Record& record, std::optional<fleet::EndpointId> besides = {}) const;

  // A running request has ended: RetryAfter is predicted from the pace of ends, and its tenant is
  // charged what it really took.
  void ObserveEnd(Record& record, const Completion& completion, Seconds now);
  // A running request has come back from its endpoint: its tenant got nothing for it.
  void Refund(Record& record, Seconds now);

  Rng& rng() { return rng_; }

 private:
  // A policy that is in use, with the one that serves in its place.
  struct Entry {
    std::unique_ptr<routing::Policy> policy;
    const routing::PolicyInfo* fallback = nullptr;
  };

  // By `info`'s place in routing::Policies(), made when first used.
  Entry& EntryOf(const routing::PolicyInfo& info);
  std::optional<fleet::EndpointId> Choose(const routing::PolicyInfo& info, const Record& record,
                                          std::span<const routing::Candidate> candidates,
                                          std::size_t waiting, Seconds now);
  void Dispatch(Record& record, fleet::EndpointId endpoint, const routing::PolicyInfo& policy,
                FallbackCause cause, Seconds now, Decisions& decisions);
  // The request as a policy that forecasts gets it: with its SLO.
  fleet::Demand ForecastDemand(const Record& record) const;
  // Shows policies only the endpoints where the request may go now, for as long as it lives.
  class Restricted;
  // Whether the request may go to the endpoint that has what it goes on from, and nowhere else.
  bool IsBound(const Record& record) const;
  // Of the endpoints that it is limited to (Arrival::among), those where it may go now.
  std::span<const fleet::EndpointId> Allowed(const Record& record);
  // Where else it could go, the best first: what the policy has compared, then the endpoints with
  // the fewest requests.
  std::vector<fleet::EndpointId> Fallbacks(const Record& record, fleet::EndpointId chosen,
                                           const routing::PolicyInfo& policy);
  // The request was not sent: remembers why.
  void NoteHold(Record& record);
  // What was considered, for a request that is about to be sent by this policy.
  std::shared_ptr<const Explanation> Explain(const Record& record,
                                             const routing::PolicyInfo& policy, Seconds now);
  // The request as the endpoint's load model gets it, whichever policy chose the endpoint.
  fleet::Demand DemandAt(const Record& record, fleet::DeploymentId deployment) const;
  // Appends a decision about the request, with what every decision says.
  static Decision& Decide(const Record& record, Seconds now, Decisions& decisions);
  // Null if there is none; else valid for as long as the record and the profiles do not change.
  const slo::Slo* EffectiveSlo(const Record& record, const fleet::Deployment* deployment) const;
  // When another try may succeed, with so many waiting.
  Seconds RetryAfter(RefusalReason reason, std::size_t waiting) const;

  const SchedulerOptions& options_;
  fleet::Fleet& fleet_;
  RecordTable& records_;
  TenantShares& shares_;
  Rng rng_;
  std::vector<fleet::EndpointId> allowed_;  // Allowed's.
  std::vector<Entry> policies_;
  Seconds last_end_ = 0;
  Seconds mean_gap_ = 0;  // Decayed mean time between ends of running requests; 0 = none yet.
};

}  // namespace headrace::scheduler
