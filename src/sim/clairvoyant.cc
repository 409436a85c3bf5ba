#include "sim/clairvoyant.h"

#include <algorithm>

namespace headrace::sim {
namespace {

// Requests that share a decode step, about.
constexpr double kCompany = 20;

}  // namespace

bool Clairvoyant::Misses(const Request& request, Seconds finish) const {
  if (request.slo == nullptr) return false;
  return !slo::Attained(*request.slo,
                        {request.first_token.value_or(finish) - request.arrived,
                         finish - request.arrived, request.prompt_tokens, request.output_tokens});
}

Clairvoyant::Plan Clairvoyant::Foresee(engine::TimedEngine engine) {
  Plan plan;
  first_tokens_.clear();
  for (;;) {
    const Seconds wake = engine.NextWake();
    if (wake == kNever) return plan;
    for (const auto& [at, event] : engine.Advance(wake)) {
      if (event.kind == engine::EngineModel::Event::Kind::kFirstToken) {
        first_tokens_.emplace_back(event.tag, at);
      } else if (event.kind == engine::EngineModel::Event::Kind::kFinished) {
        Request request = lookup_(event.tag);
        const auto found =
            std::ranges::find(first_tokens_, event.tag, &std::pair<std::uint64_t, Seconds>::first);
        if (found != first_tokens_.end()) request.first_token = found->second;
        plan.misses += Misses(request, at);
        plan.finish_times += at;
      }
    }
  }
}

Seconds Clairvoyant::LatestStart(std::uint64_t tag) const {
  const Request request = lookup_(tag);
  if (request.slo == nullptr) return kNever;
  const slo::Slo& slo = *request.slo;
  const Seconds last_by =
      slo::EndLimits(slo, request.prompt_tokens).Earliest(request.output_tokens);
  Seconds latest = -kNever;
  for (const SimDeployment& deployment : fleet_) {
    const step::TimeModel& step = deployment.engine.step;
    const Seconds first = step.Duration(
        step::Work::Prefill(request.prompt_tokens - request.cached_tokens, request.cached_tokens));
    const Seconds decode = step.DecodeRun(request.output_tokens - 1, 1, request.prompt_tokens);
    if (slo.tpot && decode > *slo.tpot * (request.output_tokens - 1)) continue;
    latest =
        std::max(latest, std::min(slo.ttft.value_or(kNever) - first, last_by - first - decode));
  }
  return request.arrived + latest;
}

Seconds Clairvoyant::Cost(std::uint64_t tag) const {
  const Request request = lookup_(tag);
  const step::TimeModel& step = fleet_.front().engine.step;
  return step.Duration(step::Work::Prefill(request.prompt_tokens - request.cached_tokens,
                                           request.cached_tokens)) +
         step.DecodeRun(request.output_tokens - 1, 1, request.prompt_tokens) / kCompany;
}

std::optional<std::size_t> Clairvoyant::Choose(std::span<const engine::TimedEngine* const> engines,
                                               std::uint64_t tag, Seconds now) {
  const Request request = lookup_(tag);
  std::optional<std::size_t> best;
  Plan best_plan;
  Plan best_cost{.misses = 1};
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (engines[i] == nullptr || engines[i]->model().waiting() > 0) continue;
    if (!plans_[i]) plans_[i] = Foresee(*engines[i]);
    engine::TimedEngine with = *engines[i];
    with.Add(now, tag, request.prompt_tokens, request.output_tokens, request.cached_tokens);
    const Plan plan = Foresee(std::move(with));
    const Plan cost{plan.misses - plans_[i]->misses, plan.finish_times - plans_[i]->finish_times};
    if (cost.misses > best_cost.misses || cost.misses >= 1) continue;
    if (best && cost.misses == best_cost.misses && cost.finish_times >= best_cost.finish_times) {
      continue;
    }
    best = i;
    best_plan = plan;
    best_cost = cost;
  }
  if (best) plans_[*best] = best_plan;
  return best;
}

void Clairvoyant::Finished(std::size_t engine, std::uint64_t tag, Seconds now) {
  if (!plans_[engine]) return;
  plans_[engine]->misses -= Misses(lookup_(tag), now);
  plans_[engine]->finish_times -= now;
}

}  // namespace headrace::sim
