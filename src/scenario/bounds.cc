#include "scenario/bounds.h"

#include <algorithm>
#include <cmath>
#include <coin/ClpSimplex.hpp>
#include <coin/CoinPackedMatrix.hpp>
#include <coin/CoinPackedVector.hpp>
#include <iterator>
#include <map>
#include <tuple>

#include "base/text.h"
#include "engine/timed_engine.h"

namespace headrace::scenario {
namespace {

constexpr std::size_t kSample = 20'000;
constexpr double kGroupsPerDoubling = 8;
// Where the linear program touches the soft maximum of a step's memory and compute time.
constexpr double kTangents[] = {0, 0.2, 0.4, 0.6, 0.8, 1};

// Requests that are alike, by the cheapest of them.
struct Kind {
  double rate = 0;  // Requests per second.
  std::uint32_t class_index = 0;
  Tokens prompt_tokens = 0;
  Tokens output_tokens = 0;
  Tokens prefilled = 0;  // Of the prompt: what no prefix cache has.

  // Token-steps held: the sum of the tokens held over the steps that decode.
  double held() const {
    return static_cast<double>(output_tokens) * prompt_tokens + 0.5 * output_tokens * output_tokens;
  }
  step::Work prefill() const { return step::Work::Prefill(prefilled, prompt_tokens - prefilled); }
};

Seconds EndOf(const Scenario& scenario, double rate) {
  return scenario.warm_up + scenario.DurationAt(rate);
}

struct Sample {
  std::vector<Kind> kinds;
  double held = 1;  // See FluidBound.
};

Sample SampleOf(const Scenario& scenario, double rate) {
  workload::WorkloadStream stream(scenario.workload, 1, rate);
  std::map<std::tuple<std::uint32_t, int, int>, Kind> kinds;
  const auto group = [](Tokens tokens) {
    return static_cast<int>(std::floor(std::log2(tokens) * kGroupsPerDoubling));
  };
  const Tokens context = scenario.LongestContext();
  const Seconds end = EndOf(scenario, rate);
  std::size_t count = 0;
  Seconds last = 0;
  while (count < kSample && stream.NextAt() <= end) {
    const workload::WorkloadRequest request = *stream.Next();
    last = request.at;
    ++count;
    const Tokens output = std::min(request.output_tokens, context - request.prompt_tokens);
    if (output < 1) continue;  // Offered, but nobody can serve it.
    Kind& kind = kinds[{request.class_index, group(request.prompt_tokens), group(output)}];
    kind.prompt_tokens = kind.rate == 0 ? request.prompt_tokens
                                        : std::min(kind.prompt_tokens, request.prompt_tokens);
    kind.output_tokens = kind.rate == 0 ? output : std::min(kind.output_tokens, output);
    kind.class_index = request.class_index;
    kind.prefilled =
        kind.prompt_tokens -
        workload::CachedTokens(scenario.workload.classes[request.class_index], kind.prompt_tokens);
    kind.rate += 1;
  }
  Sample sample;
  double held = 0;
  for (auto& [key, kind] : kinds) {
    held += kind.rate;
    kind.rate /= last > 0 ? last : end;
    sample.kinds.push_back(kind);
  }
  if (count > 0) sample.held = held / static_cast<double>(count);
  return sample;
}

double OfferedInAll(const Scenario& scenario, double rate) {
  double offered = 0;
  for (const workload::WorkloadClass& spec : scenario.workload.classes)
    offered += workload::OfferedRate(spec) * rate;
  return offered;
}

// Whether any of the group fits into an engine's context.
bool Fits(const Kind& kind, const engine::EngineConfig& engine) {
  return kind.prompt_tokens + kind.output_tokens <= engine.max_model_len;
}

// Columns: x[kind, deployment], then s[deployment], then one for the scale of all rates. Rows per
// deployment: one of time per tangent, KV, batch, space; then one per kind.
class FluidProgram {
 public:
  FluidProgram(const Scenario& scenario, std::vector<Kind> kinds)
      : kinds_(std::move(kinds)), fleet_(scenario.fleet) {
    matrix_.setDimensions(0, static_cast<int>(kinds_.size() * fleet_.size() + fleet_.size() + 1));
    AddEngineRows();
  }

  // The largest scale of all rates that can be served.
  double LargestScale();

 private:
  int X(std::size_t kind, std::size_t deployment) const {
    return static_cast<int>(kind * fleet_.size() + deployment);
  }
  int S(std::size_t deployment) const {
    return static_cast<int>(kinds_.size() * fleet_.size() + deployment);
  }
  int Scale() const { return static_cast<int>(kinds_.size() * fleet_.size() + fleet_.size()); }

  void AddRow(const CoinPackedVector& row, double low, double high) {
    matrix_.appendRow(row);
    low_.push_back(low);
    high_.push_back(high);
  }
  void AddEngineRows();
  void Solve(ClpSimplex& simplex, const std::vector<double>& upper,
             const std::vector<double>& objective) const;

  std::vector<Kind> kinds_;
  const std::vector<sim::SimDeployment>& fleet_;
  CoinPackedMatrix matrix_{false, 0, 0};
  std::vector<double> low_;
  std::vector<double> high_;
};

void FluidProgram::AddEngineRows() {
  for (std::size_t d = 0; d < fleet_.size(); ++d) {
    const engine::EngineConfig& engine = fleet_[d].engine;
    const step::TimeModel& step = engine.step;
    const double engines = fleet_[d].endpoints;
    const auto room = static_cast<double>(engine.kv_blocks * engine::kKvBlockTokens);
    for (const double share : kTangents) {
      const step::TimeModel::Tangent dense = step.DenseTangent(share);
      CoinPackedVector time;
      for (std::size_t k = 0; k < kinds_.size(); ++k) {
        const Kind& kind = kinds_[k];
        // The first token comes with the prefill's last step.
        const double decoded = kind.output_tokens - 1;
        time.insert(X(k, d), dense.compute * (step.b * kind.prefilled + step.c * decoded) +
                                 step.d * kind.held() + step.e * kind.prefill().attended +
                                 step.overhead_per_sequence * decoded);
      }
      time.insert(S(d), dense.memory * step.a + step.overhead);
      AddRow(time, -COIN_DBL_MAX, engines);
    }
    CoinPackedVector kv;
    CoinPackedVector batch;
    CoinPackedVector space;
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      const Kind& kind = kinds_[k];
      kv.insert(X(k, d), kind.held());
      batch.insert(X(k, d), kind.output_tokens - 1);
      space.insert(X(k, d), (step.a + step.overhead) * kind.held());
    }
    kv.insert(S(d), -room);
    batch.insert(S(d), -engine.max_num_seqs);
    AddRow(kv, -COIN_DBL_MAX, 0);
    AddRow(batch, -COIN_DBL_MAX, 0);
    AddRow(space, -COIN_DBL_MAX, engines * room);
  }
}

void FluidProgram::Solve(ClpSimplex& simplex, const std::vector<double>& upper,
                         const std::vector<double>& objective) const {
  const std::vector<double> zero(upper.size(), 0.0);
  simplex.setLogLevel(0);
  simplex.loadProblem(matrix_, zero.data(), upper.data(), objective.data(), low_.data(),
                      high_.data());
  simplex.setOptimizationDirection(-1);
  simplex.primal();
}

double FluidProgram::LargestScale() {
  const auto columns = static_cast<std::size_t>(Scale() + 1);
  std::vector<double> upper(columns, COIN_DBL_MAX);
  std::vector<double> objective(columns, 0.0);
  objective.back() = 1;
  for (std::size_t k = 0; k < kinds_.size(); ++k) {
    CoinPackedVector row;
    for (std::size_t d = 0; d < fleet_.size(); ++d) {
      row.insert(X(k, d), 1);
      if (!Fits(kinds_[k], fleet_[d].engine)) upper[static_cast<std::size_t>(X(k, d))] = 0;
    }
    row.insert(Scale(), -kinds_[k].rate);
    AddRow(row, 0, 0);
  }
  ClpSimplex simplex;
  Solve(simplex, upper, objective);
  return simplex.objectiveValue();
}

}  // namespace

FluidBound ComputeFluidBound(const Scenario& scenario, double rate) {
  const auto [kinds, held] = SampleOf(scenario, rate);
  FluidBound bound{.held = held};
  // Nothing comes, or nothing that an engine can hold: no queue grows.
  if (kinds.empty()) {
    bound.capacity = kNever;
    return bound;
  }
  bound.capacity = FluidProgram(scenario, kinds).LargestScale();
  return bound;
}

std::string DescribeInstability(const Scenario& scenario, const std::vector<FluidBound>& bounds) {
  std::string text;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (bounds[i].capacity >= 1) continue;
    const double offered = OfferedInAll(scenario, scenario.rates[i]) * bounds[i].held;
    text += "at rate × " + FormatNumber(scenario.rates[i]) +
            " the scenario cannot be stable: " + FormatNumber(offered) + " requests/s " +
            (bounds[i].held < 1 ? "that an engine can hold " : "") +
            "are offered and the fleet carries at most " +
            FormatNumber(offered * bounds[i].capacity) +
            " with any router; queues will grow for as long as the run lasts\n";
  }
  return text;
}

}  // namespace headrace::scenario
