// A fleet's part in ejection: which endpoints can be spared, and when they come back.
#include <algorithm>
#include <optional>

#include "fleet/fleet.h"

namespace headrace::fleet {
namespace {

// An endpoint is an outlier if its error rate is so many times that of the others.
constexpr double kWorse = 2;

}  // namespace

void Fleet::SetEjection(const EjectionOptions& options) {
  ejection_ = options;
  for (EndpointId id = 0; id < endpoints_.size() && !options.enabled; ++id) {
    ChangeBreaker(id, [](CircuitBreaker& breaker) { breaker.Release(); });
  }
  ReleaseExcess();
}

void Fleet::BreakerChanged(EndpointId id, CircuitBreaker::State before) {
  const CircuitBreaker& breaker = endpoints_[id].breaker;
  if (breaker.until() == kNever) {
    returns_.Erase(id);
  } else {
    returns_.Set(id, breaker.until());
  }
  if (breaker.state() != before) breaker_changes_.push_back({id, before, breaker.state()});
  Refresh(id);
}

bool Fleet::Advance(Seconds now) {
  bool any = false;
  for (; NextReturn() <= now; any = true) {
    ChangeBreaker(returns_.top(), [&](CircuitBreaker& breaker) { breaker.Advance(now); });
  }
  return any;
}

void Fleet::Judge(EndpointId id, const Residence& residence, const Completion& completion,
                  Seconds now) {
  Endpoint& endpoint = endpoints_[id];
  const std::optional<EngineFault> fault = completion.fault;
  if (!fault) {
    const CircuitBreaker::State before = endpoint.breaker.state();
    if (endpoint.breaker.Succeeded(residence.era, now)) recent_.Add(false, now);
    // Nearly always: nothing else changes.
    if (before != CircuitBreaker::State::kClosed) BreakerChanged(id, before);
    return;
  }
  // What dies with an endpoint that is down says nothing of the one that will come back. That a
  // connection fails says more than the health check that succeeds in between.
  const bool dies = !endpoint.up && *fault != EngineFault::kConnect;
  if (!ejection_.enabled || dies) {
    endpoint.breaker.Left(residence.era);
    return;
  }
  const bool spare = CanSpare(id);
  const bool outlier = IsOutlier(id, now);
  recent_.Remove(endpoint.breaker.recent());
  ChangeBreaker(id, [&](CircuitBreaker& breaker) {
    if (*fault == EngineFault::kBusy && completion.retry_after > 0) {
      breaker.AskedForRest(now + std::min(completion.retry_after, ejection_.max_backoff));
    }
    breaker.Failed(residence.era, *fault, spare, outlier, ejection_, now);
  });
  recent_.Add(endpoint.breaker.recent());
}

int Fleet::MostOut() const {
  if (up_ < 2 || ejection_.max_share <= 0) return 0;
  return std::clamp(static_cast<int>(ejection_.max_share * up_), 1, up_ - 1);
}

bool Fleet::CanSpare(EndpointId id) const {
  const Endpoint& endpoint = endpoints_[id];
  if (out_ + (endpoint.out ? 0 : 1) > MostOut()) return false;
  const auto context = [](const Deployment& of) {
    return of.max_model_len == 0 ? kNoLimit : of.max_model_len;
  };
  const Tokens own = context(deployments_[endpoint.deployment]);
  int in_its_place = endpoint.up && !endpoint.out ? -1 : 0;
  for (const Deployment& deployment : deployments_) {
    if (context(deployment) >= own) in_its_place += deployment.up - deployment.out;
  }
  return in_its_place > 0;
}

bool Fleet::IsOutlier(EndpointId id, Seconds now) const {
  const RecentEnds::Count own = endpoints_[id].breaker.recent().At(now);
  if (own.all < CircuitBreaker::kLeastRequests || own.failed < ejection_.error_rate * own.all) {
    return false;
  }
  RecentEnds::Count others = recent_.At(now);
  others.all -= own.all;
  others.failed -= own.failed;
  // own / all ≥ kWorse · others / all, also where the others did nothing wrong.
  return others.all >= CircuitBreaker::kLeastRequests &&
         static_cast<double>(own.failed) * others.all >=
             kWorse * static_cast<double>(others.failed) * own.all;
}

void Fleet::ReleaseExcess() {
  while (out_ > MostOut()) {
    // One that is probed is due already.
    std::optional<EndpointId> first;
    const auto due = [this](EndpointId id) {
      const CircuitBreaker& breaker = endpoints_[id].breaker;
      return breaker.state() == CircuitBreaker::State::kProbing ? -kNever : breaker.until();
    };
    for (EndpointId id = 0; id < endpoints_.size(); ++id) {
      if (endpoints_[id].out && (!first || due(id) < due(*first))) first = id;
    }
    ChangeBreaker(*first, [](CircuitBreaker& breaker) { breaker.Release(); });
  }
}

}  // namespace headrace::fleet
