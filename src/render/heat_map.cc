#include "render/heat_map.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/text.h"

namespace headrace::render {
namespace {

constexpr double kHole = std::numeric_limits<double>::quiet_NaN();

using Matrix = std::optional<profile::BucketMatrix>;

// The matrix of the SLO's percentile where there is one, else that of the mean.
const Matrix* Statistic(int percentile, const Matrix* mean, const Matrix* p50, const Matrix* p90,
                        const Matrix* p95, const Matrix* p99) {
  const Matrix* wanted = mean;
  if (percentile == 50) wanted = p50;
  if (percentile == 90) wanted = p90;
  if (percentile == 95) wanted = p95;
  if (percentile == 99) wanted = p99;
  return wanted->has_value() ? wanted : mean;
}

template <typename Value>
profile::BucketMatrix MakeMatrix(const profile::GpuProfile& profile, Value value) {
  profile::BucketMatrix matrix(profile.outputs.size(), profile.inputs.size(), kHole);
  for (std::size_t output = 0; output < matrix.outputs(); ++output) {
    for (std::size_t input = 0; input < matrix.inputs(); ++input) {
      matrix.at(output, input) = value(profile::ProfileCell{output, input});
    }
  }
  return matrix;
}

// Sets the scale. False when no profile has a number for this panel.
bool Finish(Panel& panel) {
  bool any = false;
  double least = std::numeric_limits<double>::infinity();
  double most = 0;
  for (const auto& matrix : panel.values) {
    if (!matrix) continue;
    for (std::size_t output = 0; output < matrix->outputs(); ++output) {
      for (std::size_t input = 0; input < matrix->inputs(); ++input) {
        const double value = matrix->at(output, input);
        any = any || !std::isnan(value);
        if (!(value > 0)) continue;
        least = std::min(least, value);
        most = std::max(most, value);
      }
    }
  }
  panel.least = std::min(least, most);
  panel.most = most;
  return any;
}

Panel LatencyPanel(std::span<const ProfileView> views, const char* name, const char* note,
                   std::optional<profile::BucketMatrix> profile::GpuProfile::* member) {
  Panel panel;
  panel.kind = Panel::Kind::kLatency;
  panel.note = note;
  for (const ProfileView& view : views) panel.values.push_back(view.profile.*member);
  Finish(panel);
  const bool seconds = panel.most >= 1;
  panel.scale = seconds ? 1 : 1e3;
  panel.title = std::string("Mean ") + name + (seconds ? ", seconds" : ", milliseconds");
  return panel;
}

}  // namespace

double Headroom(const profile::GpuProfile& profile, profile::ProfileCell cell) {
  const slo::Slo& slo = profile.slo;
  const profile::ProfileDetail& detail = profile.detail;
  const Tokens output = profile.outputs.centres()[cell.output];
  const Tokens input = profile.inputs.centres()[cell.input];
  const Matrix* e2e = Statistic(slo.percentile, &profile.e2e, &detail.e2e_p50, &detail.e2e_p90,
                                &detail.e2e_p95, &detail.e2e_p99);
  const Matrix* ttft = Statistic(slo.percentile, &profile.ttft, &detail.ttft_p50, &detail.ttft_p90,
                                 &detail.ttft_p95, &detail.ttft_p99);
  const auto left = [&](Seconds target, const Matrix& expected) {
    return expected ? 1 - expected->at(cell.output, cell.input) / target : kHole;
  };
  const auto target = slo::TargetOf(slo, input, output);
  if (!target) return kHole;
  return left(target->seconds, target->measure == slo::Target::Measure::kTtft ? *ttft : *e2e);
}

Shade Panel::ShadeOf(double value) const {
  if (std::isnan(value)) return {Shade::Kind::kUnknown, 0};
  if (kind == Kind::kHeadroom) {
    return {value > 0 ? Shade::Kind::kGood : Shade::Kind::kBad, std::min(std::abs(value), 1.0)};
  }
  if (!(value > 0)) return {Shade::Kind::kNone, 0};
  // Throughput and latency span orders of magnitude.
  const double strength = most > least ? std::log(value / least) / std::log(most / least) : 0.5;
  return {Shade::Kind::kScale, std::clamp(strength, 0.0, 1.0)};
}

std::string Panel::Label(double value) const {
  if (std::isnan(value)) return "—";
  if (kind != Kind::kHeadroom) return FormatNumber(value * scale);
  const double percent = std::round(value * 100);
  if (percent < -999) return "<-999 %";
  // Adding 0 turns -0 into 0.
  return (percent < 0 ? "" : "+") + FormatFixed(percent + 0.0, 0) + " %";
}

std::vector<Panel> MakePanels(std::span<const ProfileView> views) {
  std::vector<Panel> panels;
  const auto add = [&](Panel panel) {
    if (Finish(panel)) panels.push_back(std::move(panel));
  };
  Panel throughput;
  throughput.title = "Throughput within the SLO, req/s";
  throughput.note = "The highest request rate at which one GPU meets the SLO; 0 = none.";
  for (const ProfileView& view : views) throughput.values.emplace_back(view.profile.tput);
  add(throughput);

  if (views.size() > 1) {
    Panel per_cost;
    per_cost.title = "Throughput per unit of cost, req/s";
    per_cost.note = "The throughput above divided by the GPU's price.";
    for (const ProfileView& view : views) {
      const profile::GpuProfile& profile = view.profile;
      if (!(profile.cost > 0)) {
        per_cost.values.emplace_back();
        continue;
      }
      per_cost.values.emplace_back(MakeMatrix(profile, [&](profile::ProfileCell cell) {
        return profile.tput.at(cell.output, cell.input) / profile.cost;
      }));
    }
    add(std::move(per_cost));
  }
  add(LatencyPanel(views, "E2E", "From arrival to the last token, at that rate.",
                   &profile::GpuProfile::e2e));
  add(LatencyPanel(views, "TTFT", "From arrival to the first token, at that rate.",
                   &profile::GpuProfile::ttft));
  add(LatencyPanel(views, "TPOT", "Between two tokens, at that rate.", &profile::GpuProfile::tpot));

  Panel headroom;
  headroom.kind = Panel::Kind::kHeadroom;
  headroom.title = "Headroom to the SLO, % of the target";
  headroom.note = "How much of the target time is left at that rate; below 0 the SLO is missed.";
  for (const ProfileView& view : views) {
    headroom.values.emplace_back(MakeMatrix(
        view.profile, [&](profile::ProfileCell cell) { return Headroom(view.profile, cell); }));
  }
  add(std::move(headroom));
  return panels;
}

}  // namespace headrace::render
