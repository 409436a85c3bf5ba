#include "workload/workload.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <utility>

#include "base/hash.h"
#include "base/limits.h"
#include "embedded/lengths.h"

namespace headrace::workload {
namespace {

// The shape of a Weibull distribution with this CV: cv² = Γ(1 + 2/k) / Γ(1 + 1/k)² − 1, which falls
// as k rises.
double WeibullShape(double cv) {
  double low = 0.1;
  double high = 1000;
  for (int i = 0; i < 60; ++i) {
    const double middle = std::sqrt(low * high);
    const double mean = std::tgamma(1 + 1 / middle);
    const double squared = std::tgamma(1 + 2 / middle) / (mean * mean) - 1;
    (squared > cv * cv ? low : high) = middle;
  }
  return low;
}

double RateOf(const Arrivals& arrivals) {
  if (const auto* poisson = std::get_if<PoissonArrivals>(&arrivals)) return poisson->rate;
  if (const auto* gamma = std::get_if<GammaArrivals>(&arrivals)) return gamma->rate;
  if (const auto* weibull = std::get_if<WeibullArrivals>(&arrivals)) return weibull->rate;
  return std::get<ReplayArrivals>(arrivals).speed;
}

double CvOf(const Arrivals& arrivals) {
  if (const auto* gamma = std::get_if<GammaArrivals>(&arrivals)) return gamma->cv;
  if (const auto* weibull = std::get_if<WeibullArrivals>(&arrivals)) return weibull->cv;
  return 1;
}

Result<void> CheckClass(const WorkloadClass& spec) {
  // A class's part of all requests may be less than what can be asked for.
  constexpr NumberRange kPart{1e-12, limits::kRate.high};
  if (!kPart.Contains(RateOf(spec.arrivals))) {
    return Fail("the rate or speed " + OutOfBounds(kPart));
  }
  // What WeibullShape solves; gaps of a gamma distribution with a smaller one have no rounded mean.
  if (!limits::kCv.Contains(CvOf(spec.arrivals))) {
    return Fail("the cv of the arrivals " + OutOfBounds(limits::kCv));
  }
  const auto* replay = std::get_if<ReplayArrivals>(&spec.arrivals);
  if (replay != nullptr && (!replay->trace || replay->trace->empty())) {
    return Fail("there is no trace to replay; give a file with at least one request");
  }
  if (replay == nullptr && std::holds_alternative<TraceLengths>(spec.lengths)) {
    return Fail("lengths can come from a trace only where the arrivals do; give the lengths");
  }
  if (!(spec.cached_prompt >= 0 && spec.cached_prompt < 1)) {
    return Fail("the cached share of the prompt must be at least 0 and below 1");
  }
  Seconds last = 0;
  for (const RateChange& change : spec.rate_changes) {
    if (!(change.at >= last) || !(change.factor >= 0 && change.factor <= limits::kRate.high)) {
      return Fail("rate changes must come in order of time, with factors from 0 to 1000000");
    }
    last = change.at;
  }
  return CheckRequestLengths(spec.lengths);
}

// The ShareGPT turns that fit into the context (all but 4 of 10,000); an engine refuses the others.
std::shared_ptr<const std::vector<RequestLength>> FittingShareGptLengths(Tokens context) {
  std::vector<RequestLength> fitting;
  for (const RequestLength& length : *ShareGptLengths()) {
    if (length.prompt_tokens + length.output_tokens <= context) fitting.push_back(length);
  }
  return std::make_shared<const std::vector<RequestLength>>(std::move(fitting));
}

Workload ChatAndCode() {
  slo::Slo slo;
  slo.percentile = 99;
  slo.tpat = 50 * kMillisecond;
  Workload workload;
  workload.classes = {
      {.name = "chat",
       .arrivals = PoissonArrivals{7},
       .lengths = EmpiricalLengths{FittingShareGptLengths(8192)},
       .slo = slo,
       .rate_changes = {}},
      {.name = "code",
       .arrivals = PoissonArrivals{4},
       .lengths = DistributedLengths{UniformTokens{4000, 4600}, UniformTokens{32, 64}},
       .slo = slo,
       .rate_changes = {}},
  };
  return workload;
}

constexpr NamedWorkload kNamedWorkloads[] = {
    {"chat-and-code",
     "ShareGPT conversations at 7 req/s and code generation from long prompts at 4 req/s",
     ChatAndCode},
};

}  // namespace

Result<void> CheckWorkload(const Workload& workload) {
  if (workload.classes.empty()) return Fail("the workload has no classes; give at least one");
  std::set<std::string_view> names;
  for (const WorkloadClass& spec : workload.classes) {
    if (spec.name.empty()) return Fail("a class has no name; give every class one");
    if (!names.insert(spec.name).second) {
      return Fail("two classes are called \"" + spec.name + "\"; rename one");
    }
    if (auto checked = CheckClass(spec); !checked) {
      return Fail("class \"" + spec.name + "\": " + checked.error().message);
    }
  }
  return {};
}

Tokens CachedTokens(const WorkloadClass& workload_class, Tokens prompt_tokens) {
  const auto cached = static_cast<Tokens>(workload_class.cached_prompt * prompt_tokens);
  return std::clamp(cached, Tokens{0}, prompt_tokens - 1);
}

double OfferedRate(const WorkloadClass& workload_class) {
  const double rate = RateOf(workload_class.arrivals);
  const auto* replay = std::get_if<ReplayArrivals>(&workload_class.arrivals);
  return replay == nullptr ? rate : rate * MeanRate(*replay->trace);
}

WorkloadStream::WorkloadStream(const Workload& workload, std::uint64_t seed, double rate_scale) {
  for (const WorkloadClass& spec : workload.classes) {
    // The draws of a class depend on its name.
    Rng rng(seed ^ HashOf(spec.name));
    ClassStream& stream = streams_.emplace_back();
    stream.spec = &spec;
    stream.gaps = rng.Fork();
    stream.lengths = rng.Fork();
    stream.rate = RateOf(spec.arrivals) * rate_scale;
    if (const auto* weibull = std::get_if<WeibullArrivals>(&spec.arrivals)) {
      stream.shape = WeibullShape(weibull->cv);
    }
    if (const auto* replay = std::get_if<ReplayArrivals>(&spec.arrivals);
        replay != nullptr && replay->random_start) {
      stream.start = rng.Fork().Uniform() * replay->trace->back().at;
      stream.first_row = static_cast<std::size_t>(
          std::ranges::lower_bound(*replay->trace, stream.start, {}, &TraceRow::at) -
          replay->trace->begin());
    }
    Advance(stream);
  }
  FindNext();
}

double WorkloadStream::Factor(const ClassStream& stream) {
  return stream.changes == 0 ? 1 : stream.spec->rate_changes[stream.changes - 1].factor;
}

// From the row before to the next one, which becomes the current one; kNever after the last.
double WorkloadStream::ReplayGap(ClassStream& stream, const ReplayArrivals& replay) {
  const Trace& trace = *replay.trace;
  if (stream.played == trace.size()) return kNever;
  const std::size_t row = (stream.first_row + stream.played) % trace.size();
  Seconds before = stream.start;
  if (stream.played > 0) before = trace[stream.current_row].at;
  ++stream.played;
  stream.current_row = row;
  if (trace[row].at >= before) return trace[row].at - before;
  const double rate = MeanRate(trace);
  return trace.back().at - before + (rate > 0 ? 1 / rate : 0) + trace[row].at;
}

void WorkloadStream::Advance(ClassStream& stream) const {
  double gap = 0;  // In operational time.
  if (std::holds_alternative<PoissonArrivals>(stream.spec->arrivals)) {
    gap = stream.gaps.Exponential(1);
  } else if (const auto* gamma = std::get_if<GammaArrivals>(&stream.spec->arrivals)) {
    const double variance = gamma->cv * gamma->cv;
    gap = stream.gaps.Gamma(1 / variance, variance);
  } else if (std::holds_alternative<WeibullArrivals>(stream.spec->arrivals)) {
    gap = stream.gaps.Weibull(stream.shape, 1 / std::tgamma(1 + 1 / stream.shape));
  } else {
    gap = ReplayGap(stream, std::get<ReplayArrivals>(stream.spec->arrivals));
    if (gap == kNever) {
      stream.at = kNever;
      return;
    }
  }
  const auto& changes = stream.spec->rate_changes;
  for (;;) {
    const double rate = stream.rate * Factor(stream);
    const Seconds end = stream.changes < changes.size() ? changes[stream.changes].at : kNever;
    if (rate > 0 && stream.at + gap / rate <= end) {
      stream.at += gap / rate;
      return;
    }
    if (end == kNever) {
      stream.at = kNever;
      return;
    }
    gap -= rate * (end - stream.at);
    stream.at = end;
    ++stream.changes;
  }
}

void WorkloadStream::FindNext() {
  next_ = nullptr;
  for (ClassStream& stream : streams_) {
    if (stream.at < (next_ == nullptr ? kNever : next_->at)) next_ = &stream;
  }
}

std::optional<WorkloadRequest> WorkloadStream::Next() {
  if (next_ == nullptr) return std::nullopt;
  ClassStream& stream = *next_;
  RequestLength length;
  if (std::holds_alternative<TraceLengths>(stream.spec->lengths)) {
    length = (*std::get<ReplayArrivals>(stream.spec->arrivals).trace)[stream.current_row].length;
  } else {
    length = DrawLength(stream.spec->lengths, stream.lengths);
  }
  const WorkloadRequest request{
      .at = stream.at,
      .class_index = static_cast<std::uint32_t>(&stream - streams_.data()),
      .prompt_tokens = length.prompt_tokens,
      .output_tokens = length.output_tokens};
  Advance(stream);
  FindNext();
  return request;
}

std::span<const NamedWorkload> NamedWorkloads() { return kNamedWorkloads; }

const NamedWorkload* FindNamedWorkload(std::string_view name) {
  for (const NamedWorkload& workload : kNamedWorkloads) {
    if (workload.name == name) return &workload;
  }
  return nullptr;
}

std::shared_ptr<const std::vector<RequestLength>> ShareGptLengths() {
  static const auto lengths = [] {
    const auto& [name, text] = embedded::k_lengths[0];
    auto parsed = ParseLengthCsv(text, name);
    // A fault in a file that is part of the program is a fault of the build.
    if (!parsed) std::abort();
    return std::make_shared<const std::vector<RequestLength>>(std::move(*parsed));
  }();
  return lengths;
}

}  // namespace headrace::workload
