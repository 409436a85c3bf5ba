#include "engine/measure.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/batch_means.h"
#include "base/random.h"
#include "engine/timed_engine.h"

namespace headrace {
namespace {

double Percentile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = at - static_cast<double>(below);
  return sorted[below] * (1 - part) + sorted[above] * part;
}

// How long a request lives on an engine whose KV room or running set is full of its like: a scale
// for the warm-up and the window.
Seconds LongestLife(const EngineConfig& config, const MeasureCell& cell) {
  const double held = cell.input + cell.output / 2.0;
  const double room = static_cast<double>(config.kv_blocks * kKvBlockTokens);
  const double batch = std::clamp(room / held, 1.0, static_cast<double>(config.max_num_seqs));
  const Seconds step =
      config.step.Duration(static_cast<int>(batch), static_cast<std::int64_t>(batch * held), 0);
  // While it decodes, `batch` prompts per life are prefilled on the same engine.
  return cell.output * step + batch * config.step.b * cell.input;
}

// The number of requests in flight, averaged over each half of the window.
class Backlog {
 public:
  Backlog(Seconds begin, Seconds end) : begin_(begin), middle_((begin + end) / 2), end_(end) {}

  void Change(Seconds now, int by) {
    first_ += Overlap(now, begin_, middle_) * in_flight_;
    second_ += Overlap(now, middle_, end_) * in_flight_;
    since_ = now;
    in_flight_ += by;
  }

  // More than 5 % of what arrives stays behind, and more than chance moves it.
  bool Grew(double rate) const {
    const Seconds half = middle_ - begin_;
    const double before = first_ / half;
    const double growth = second_ / half - before;
    return growth > 0.05 * rate * half && growth > 3 * std::sqrt(before + 1);
  }

 private:
  Seconds Overlap(Seconds now, Seconds begin, Seconds end) const {
    return std::max(0.0, std::min(now, end) - std::max(since_, begin));
  }

  Seconds begin_;
  Seconds middle_;
  Seconds end_;
  Seconds since_ = 0;
  double first_ = 0;
  double second_ = 0;
  int in_flight_ = 0;
};

struct Timing {
  Seconds arrival = 0;
  Seconds first_token = 0;
  Seconds finished = 0;
};

// Of the requests that arrived in the window, in order of arrival.
std::vector<double> EndToEnd(const std::vector<Timing>& timings, Seconds begin, Seconds end) {
  std::vector<double> e2e;
  for (const Timing& timing : timings) {
    if (timing.arrival >= begin && timing.arrival < end) {
      e2e.push_back(timing.finished - timing.arrival);
    }
  }
  return e2e;
}

}  // namespace

SampleStatistics Summarize(std::vector<double>& sample) {
  if (sample.empty()) return {};
  std::sort(sample.begin(), sample.end());
  SampleStatistics statistics;
  statistics.mean =
      std::accumulate(sample.begin(), sample.end(), 0.0) / static_cast<double>(sample.size());
  statistics.p50 = Percentile(sample, 0.5);
  statistics.p90 = Percentile(sample, 0.9);
  statistics.p99 = Percentile(sample, 0.99);
  return statistics;
}

Result<CellMeasurement> Measure(const EngineConfig& config, const MeasureCell& cell) {
  if (cell.output < 1 || !(cell.rate > 0) || cell.samples < 1) {
    return Fail("a cell needs an output of at least 1 token, a rate above 0 and a sample");
  }
  TimedEngine engine(config);
  if (!engine.model().Fits(cell.input, cell.output)) {
    return Fail("a request of " + std::to_string(cell.input) + " input and " +
                std::to_string(cell.output) + " output tokens does not fit into a context of " +
                std::to_string(config.max_model_len) + "; leave the cell out");
  }

  const Seconds life = LongestLife(config, cell);
  const Seconds begin = 2 * life + 20 / cell.rate;
  const Seconds end = begin + std::max(cell.samples / cell.rate, 4 * life);
  Rng rng(cell.seed);
  Backlog backlog(begin, end);
  std::vector<Timing> timings;
  std::vector<double> ttft;
  std::vector<double> tpot;
  std::int64_t completed = 0;  // In the window.
  std::int64_t open = 0;       // Arrived in the window, not finished yet.

  Seconds next_arrival = rng.Exponential(1 / cell.rate);
  while (next_arrival <= end || open > 0) {
    const Seconds wake = engine.NextWake();
    const Seconds now = std::min(next_arrival, wake);
    for (const auto& [at, event] : engine.Advance(now)) {
      Timing& timing = timings[event.tag];
      if (event.kind == EngineModel::Event::Kind::kFirstToken) timing.first_token = at;
      if (event.kind != EngineModel::Event::Kind::kFinished) continue;
      backlog.Change(at, -1);
      if (at >= begin && at < end) ++completed;
      if (timing.arrival < begin || timing.arrival >= end) continue;
      --open;
      timing.finished = at;
      ttft.push_back(timing.first_token - timing.arrival);
      tpot.push_back(cell.output > 1 ? (at - timing.first_token) / (cell.output - 1) : 0);
    }
    if (next_arrival > now) continue;
    next_arrival = now + rng.Exponential(1 / cell.rate);
    // Behind the window a queue this long keeps the engine as busy as a longer one would.
    if (now >= end && engine.model().waiting() >= config.max_num_seqs) continue;
    engine.Add(now, timings.size(), cell.input, cell.output);
    timings.push_back({now, 0, 0});
    backlog.Change(now, 1);
    if (now >= begin && now < end) ++open;
  }
  backlog.Change(end, 0);

  std::vector<double> e2e = EndToEnd(timings, begin, end);
  CellMeasurement measured;
  measured.e2e_error = RelativeErrorOfMean(e2e);
  measured.tput = static_cast<double>(completed) / (end - begin);
  measured.tt = measured.tput * cell.output;
  measured.samples = static_cast<std::int64_t>(e2e.size());
  measured.e2e = Summarize(e2e);
  measured.ttft = Summarize(ttft);
  measured.tpot = Summarize(tpot);
  measured.sustained = !backlog.Grew(cell.rate);
  return measured;
}

}  // namespace headrace
