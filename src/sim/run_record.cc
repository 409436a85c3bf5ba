#include "sim/run_record.h"

#include <algorithm>
#include <string>
#include <utility>

namespace headrace::sim {
namespace {

std::vector<std::string> NamesOf(const workload::Workload& workload) {
  std::vector<std::string> names;
  for (const workload::WorkloadClass& spec : workload.classes) names.push_back(spec.name);
  return names;
}

}  // namespace

RunRecord::RunRecord(const SimulationSpec& spec)
    : spec_(spec),
      begin_(spec.warm_up),
      end_(spec.warm_up + spec.duration),
      busy_(spec.fleet.size()) {
  const std::size_t classes = spec.workload->classes.size();
  result_.statistics = workload::RunStatistics(NamesOf(*spec.workload));
  for (const SimDeployment& deployment : spec.fleet) {
    result_.deployments.push_back({.name = deployment.name,
                                   .endpoints = deployment.endpoints,
                                   .sent = std::vector<std::uint64_t>(classes)});
  }
  result_.too_long.resize(classes);
  result_.cut.resize(classes);
  result_.timeline.resize(kTimelineSteps, {.offered = std::vector<std::uint64_t>(classes),
                                           .attained = std::vector<std::uint64_t>(classes),
                                           .in_flight = std::vector<double>(spec.fleet.size())});
}

TimelineStep& RunRecord::StepOf(Seconds arrived) {
  const double share = (arrived - begin_) / (end_ - begin_);
  const auto step = static_cast<std::size_t>(share * kTimelineSteps);
  return result_.timeline[std::min(step, kTimelineSteps - 1)];
}

void RunRecord::Offer(std::uint32_t class_index, Seconds arrived) {
  if (!Counts(arrived)) return;
  ++open_;
  result_.statistics.Offer(class_index);
  ++StepOf(arrived).offered[class_index];
}

void RunRecord::Sent(std::uint32_t deployment, std::uint32_t class_index) {
  ++result_.deployments[deployment].sent[class_index];
}

void RunRecord::End(RequestRecord& record) {
  --open_;
  const std::optional<slo::Slo>& own = spec_.workload->classes[record.class_index].slo;
  const std::optional<slo::Slo>& slo = own ? own : spec_.scheduler.slo;
  workload::RunStatistics& statistics = result_.statistics;
  switch (record.end) {
    case RequestRecord::End::kCompleted: {
      record.attained = statistics.Complete(
          record.class_index, {record.ttft, record.e2e, record.prompt_tokens, record.output_tokens},
          record.queued, slo);
      if (record.predicted) {
        result_.forecasts.AddTimes(*record.predicted, record.ttft, record.e2e);
      }
      break;
    }
    case RequestRecord::End::kRefused:
      statistics.Refuse(record.class_index);
      break;
    case RequestRecord::End::kTooLong:
      statistics.Refuse(record.class_index);
      ++result_.too_long[record.class_index];
      break;
    case RequestRecord::End::kTimedOut:
      statistics.TimeOut(record.class_index);
      break;
    case RequestRecord::End::kFailed:
      statistics.Fail(record.class_index);
      break;
  }
  // One that an engine lost says nothing of the forecast, one that ran into the end does.
  if (record.predicted && slo && slo->HasLatency() && record.end != RequestRecord::End::kFailed) {
    result_.forecasts.AddOutcome(*record.predicted, !record.attained);
  }
  StepOf(record.arrived).attained[record.class_index] += record.attained;
}

void RunRecord::ChangeBusy(std::uint32_t deployment, Seconds now, int by) {
  Busy& busy = busy_[deployment];
  busy.total += busy.engines * std::max(0.0, std::min(now, end_) - std::max(busy.since, begin_));
  busy.since = now;
  busy.engines += by;
}

Seconds RunRecord::NextSample() const {
  if (sampled_ == kTimelineSteps) return kNever;
  return begin_ + (end_ - begin_) * static_cast<double>(sampled_ + 1) / kTimelineSteps;
}

void RunRecord::Sample(std::span<const scheduler::Scheduler* const> schedulers) {
  TimelineStep& step = result_.timeline[sampled_++];
  for (const scheduler::Scheduler* scheduler : schedulers) {
    step.waiting += static_cast<double>(scheduler->waiting());
    for (const fleet::Endpoint& endpoint : scheduler->fleet().endpoints()) {
      step.in_flight[endpoint.deployment] +=
          static_cast<double>(endpoint.in_flight) / spec_.fleet[endpoint.deployment].endpoints;
    }
  }
}

SimulationResult RunRecord::Finish(const std::vector<std::uint64_t>& preemptions,
                                   std::uint64_t simulated) {
  const Seconds counted = end_ - begin_;
  for (std::size_t d = 0; d < busy_.size(); ++d) {
    DeploymentResult& deployment = result_.deployments[d];
    const double engines = deployment.endpoints;
    deployment.utilization = busy_[d].total / (counted * engines);
    deployment.cost = spec_.fleet[d].price_per_hour * engines * counted / 3600;
    deployment.preemptions = preemptions[d];
    result_.cost += deployment.cost;
  }
  result_.simulated = simulated;
  return std::move(result_);
}

}  // namespace headrace::sim
