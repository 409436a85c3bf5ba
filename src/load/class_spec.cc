#include "load/class_spec.h"

#include <array>
#include <charconv>
#include <memory>
#include <string_view>
#include <utility>

#include "base/duration.h"
#include "base/limits.h"
#include "base/nearest_name.h"
#include "base/token_range.h"

namespace headrace::load {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

template <typename Number>
bool ParseNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// The keys of a class.
constexpr std::array<std::string_view, 14> kKeys = {
    "rate",   "share",  "cv",   "trace", "speed", "time-unit", "lengths",
    "prompt", "output", "ttft", "tpot",  "tpat",  "ntpot",     "e2e"};

// One class as text: its name, and a value per key.
class ClassText {
 public:
  static Result<ClassText> Parse(std::string_view text) {
    ClassText result;
    const std::size_t colon = text.find(':');
    result.name_ = Trim(text.substr(0, colon));
    if (colon == text.npos || result.name_.empty()) {
      return Fail("class \"" + std::string(text) +
                  "\" has no name; write it like chat: rate=7, lengths=sharegpt");
    }
    std::string_view rest = text.substr(colon + 1);
    while (!Trim(rest).empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view item = Trim(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      const std::size_t equals = std::min(item.find('='), item.size());
      const std::string_view key = Trim(item.substr(0, equals));
      const auto known = std::find(kKeys.begin(), kKeys.end(), key);
      if (known == kKeys.end()) {
        const std::string_view near = NearestName(key, kKeys);
        return result.Fault(
            "\"" + std::string(item) + "\" is not known" +
            (near.empty() ? "; write " + All() : "; did you mean " + std::string(near) + "=?"));
      }
      std::string& value = result.values_[static_cast<std::size_t>(known - kKeys.begin())];
      if (!value.empty()) return result.Fault(std::string(key) + " is given twice; remove one");
      value = Trim(item.substr(std::min(equals + 1, item.size())));
      if (value.empty()) {
        return result.Fault(std::string(key) + " has no value; write " + std::string(key) + "=…");
      }
    }
    return result;
  }

  const std::string& name() const { return name_; }
  // "" if it is not given.
  const std::string& Value(std::string_view key) const {
    return values_[static_cast<std::size_t>(std::find(kKeys.begin(), kKeys.end(), key) -
                                            kKeys.begin())];
  }
  bool Has(std::string_view key) const { return !Value(key).empty(); }
  tl::unexpected<Error> Fault(const std::string& what) const {
    return Fail("class \"" + name_ + "\": " + what);
  }

  // Adds the class's name to an error.
  template <typename T>
  Result<T> Named(Result<T> result) const {
    if (!result) return Fault(result.error().message);
    return result;
  }

  // A number in the range, or `otherwise` if the key is not given.
  Result<double> Number(std::string_view key, const NumberRange& range, double otherwise) const {
    if (!Has(key)) return otherwise;
    double number = 0;
    if (!ParseNumber(Value(key), number)) {
      return Fault(std::string(key) + "=" + Value(key) + " is not a number");
    }
    if (!range.Contains(number)) {
      return Fault(std::string(key) + "=" + Value(key) + " " + OutOfBounds(range));
    }
    return number;
  }

  Result<workload::TokenDistribution> Distribution(std::string_view key) const {
    HEADRACE_ASSIGN(const TokenRange range, Parsed(key, ParseTokenRange(Value(key))));
    if (range.low == range.high) return workload::FixedTokens{range.low};
    return workload::UniformTokens{range.low, range.high};
  }

  Result<std::optional<Seconds>> Target(std::string_view key) const {
    if (!Has(key)) return std::nullopt;
    HEADRACE_ASSIGN(const Seconds target, Parsed(key, ParseDuration(Value(key))));
    if (limits::kLatency.Contains(target)) return target;
    return Fault(std::string(key) + "=" + Value(key) + " " + DurationOutOfBounds(limits::kLatency));
  }

 private:
  static std::string All() {
    std::string all;
    for (const std::string_view key : kKeys) all.append(all.empty() ? "" : ", ").append(key);
    return all;
  }

  // Adds the class's name, the key and its value to an error.
  template <typename T>
  Result<T> Parsed(std::string_view key, Result<T> result) const {
    if (!result) return Fault(std::string(key) + "=" + Value(key) + " " + result.error().message);
    return result;
  }

  std::string name_;
  std::array<std::string, kKeys.size()> values_;  // In the order of kKeys.
};

Result<std::optional<Seconds>> ReadTimeUnit(const ClassText& text) {
  if (!text.Has("time-unit")) return std::nullopt;
  const std::optional<Seconds> unit = workload::TimeUnitOf(text.Value("time-unit"));
  if (!unit)
    return text.Fault("time-unit=" + text.Value("time-unit") +
                      " is no unit; write s, ms, us or ns");
  return unit;
}

Result<workload::Arrivals> ReadArrivals(const ClassText& text, double rate_of_share,
                                        const LoadFileReader& read_file,
                                        std::vector<std::string>& notes) {
  const int ways = int{text.Has("rate")} + int{text.Has("share")} + int{text.Has("trace")};
  if (ways > 1 || (ways == 0 && rate_of_share == 0)) {
    return text.Fault("give just one of rate=, share= and trace=");
  }
  if (text.Has("trace")) {
    if (text.Has("cv")) return text.Fault("cv= does not go with trace=; remove one");
    const std::string& path = text.Value("trace");
    HEADRACE_ASSIGN(const double speed, text.Number("speed", limits::kSpeed, 1));
    HEADRACE_ASSIGN(const auto unit, ReadTimeUnit(text));
    HEADRACE_ASSIGN(const std::string content, text.Named(read_file(path)));
    HEADRACE_ASSIGN(workload::RequestFile file,
                    text.Named(workload::ReadTrace(content, path, unit)));
    notes.insert(notes.end(), file.notes.begin(), file.notes.end());
    workload::BeginAtZero({&file.rows, 1});
    return workload::ReplayArrivals{std::make_shared<const workload::Trace>(std::move(file.rows)),
                                    speed};
  }
  for (const std::string_view key : {"speed", "time-unit"}) {
    if (text.Has(key)) return text.Fault(std::string(key) + "= goes with trace= only; remove it");
  }
  HEADRACE_ASSIGN(const double rate, text.Number("rate", limits::kRate, rate_of_share));
  HEADRACE_ASSIGN(const double cv, text.Number("cv", limits::kCv, 1));
  if (text.Has("cv")) return workload::GammaArrivals{rate, cv};
  return workload::PoissonArrivals{rate};
}

Result<workload::RequestLengths> ReadLengths(const ClassText& text, const LoadFileReader& read_file,
                                             std::vector<std::string>& notes) {
  const bool distributed = text.Has("prompt") || text.Has("output");
  if (distributed && text.Has("lengths")) {
    return text.Fault("lengths= does not go with prompt= and output=; remove one");
  }
  if (distributed) {
    if (!text.Has("prompt") || !text.Has("output")) {
      return text.Fault("prompt= and output= go together; give both");
    }
    HEADRACE_ASSIGN(const auto prompt, text.Distribution("prompt"));
    HEADRACE_ASSIGN(const auto output, text.Distribution("output"));
    return workload::DistributedLengths{prompt, output};
  }
  const std::string& path = text.Value("lengths");
  if (path == "sharegpt") return workload::EmpiricalLengths{workload::ShareGptLengths()};
  if (text.Has("lengths")) {
    HEADRACE_ASSIGN(const std::string content, text.Named(read_file(path)));
    // The unit of its times does not matter.
    HEADRACE_ASSIGN(const workload::RequestFile file,
                    text.Named(workload::ReadLengths(content, path)));
    notes.insert(notes.end(), file.notes.begin(), file.notes.end());
    return workload::EmpiricalLengths{std::make_shared<const std::vector<workload::RequestLength>>(
        workload::LengthsOf(file.rows))};
  }
  if (text.Has("trace")) return workload::TraceLengths{};
  return text.Fault("it has no lengths; give lengths=, or prompt= and output=");
}

Result<std::optional<slo::Slo>> ReadSlo(const ClassText& text) {
  slo::Slo slo;
  HEADRACE_ASSIGN(slo.ttft, text.Target("ttft"));
  HEADRACE_ASSIGN(slo.tpot, text.Target("tpot"));
  HEADRACE_ASSIGN(slo.tpat, text.Target("tpat"));
  HEADRACE_ASSIGN(slo.ntpot, text.Target("ntpot"));
  HEADRACE_ASSIGN(slo.e2e, text.Target("e2e"));
  if (!slo.HasLatency()) return std::nullopt;
  return slo;
}

}  // namespace

Result<ParsedClasses> ParseClasses(std::span<const std::string> specs,
                                   std::optional<double> total_rate, bool closed_loop,
                                   const LoadFileReader& read_file) {
  if (closed_loop && !total_rate) total_rate = 1;
  std::vector<ClassText> texts;
  std::vector<double> shares;
  double all_shares = 0;
  for (const std::string& spec : specs) {
    HEADRACE_ASSIGN(ClassText text, ClassText::Parse(spec));
    const bool bare = !text.Has("rate") && !text.Has("trace");
    HEADRACE_ASSIGN(const double share,
                    text.Number("share", limits::kRate, closed_loop && bare ? 1 : 0));
    if (share > 0 && !total_rate) {
      return text.Fault("share= needs the rate of all classes; give --rate, or rate= here");
    }
    all_shares += share;
    shares.push_back(share);
    texts.push_back(std::move(text));
  }
  ParsedClasses parsed;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const double rate = shares[i] > 0 ? total_rate.value_or(0) * shares[i] / all_shares : 0;
    workload::WorkloadClass& added = parsed.workload.classes.emplace_back();
    added.name = texts[i].name();
    HEADRACE_ASSIGN(added.arrivals, ReadArrivals(texts[i], rate, read_file, parsed.notes));
    HEADRACE_ASSIGN(added.lengths, ReadLengths(texts[i], read_file, parsed.notes));
    HEADRACE_ASSIGN(added.slo, ReadSlo(texts[i]));
  }
  HEADRACE_TRY(workload::CheckWorkload(parsed.workload));
  return parsed;
}

}  // namespace headrace::load
