#include "load/class_spec.h"

#include <array>
#include <charconv>
#include <memory>
#include <string_view>
#include <utility>

#include "base/duration.h"
#include "base/token_range.h"
#include "config/nearest_name.h"

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

// The keys of a class, in the order of Keys::values.
constexpr std::array<std::string_view, 12> kKeys = {"rate",  "share",   "cv",     "trace",
                                                    "speed", "lengths", "prompt", "output",
                                                    "ttft",  "tpot",    "tpat",   "e2e"};

// One class as it is written.
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
        const std::string_view near = config::NearestName(key, kKeys);
        return result.Fault(
            "\"" + std::string(item) + "\" is not known" +
            (near.empty() ? "; write " + All() : "; did you mean " + std::string(near) + "=?"));
      }
      std::string& value = result.values_[static_cast<std::size_t>(known - kKeys.begin())];
      if (!value.empty()) return result.Fault(std::string(key) + " comes twice; remove one");
      value = Trim(item.substr(std::min(equals + 1, item.size())));
      if (value.empty())
        return result.Fault(std::string(key) + " has no value; write " + std::string(key) + "=…");
    }
    return result;
  }

  const std::string& name() const { return name_; }
  // "" when it is not given.
  const std::string& Value(std::string_view key) const {
    return values_[static_cast<std::size_t>(std::find(kKeys.begin(), kKeys.end(), key) -
                                            kKeys.begin())];
  }
  bool Has(std::string_view key) const { return !Value(key).empty(); }
  tl::unexpected<Error> Fault(const std::string& what) const {
    return Fail("class \"" + name_ + "\": " + what);
  }

  // A number above 0, or `otherwise` when the key is not given.
  Result<double> Number(std::string_view key, double otherwise) const {
    if (!Has(key)) return otherwise;
    double number = 0;
    if (!ParseNumber(Value(key), number) || !(number > 0) || !(number < 1e12)) {
      return Fault(std::string(key) + "=" + Value(key) + " is not a number above 0");
    }
    return number;
  }

  Result<workload::TokenDistribution> Distribution(std::string_view key) const {
    const std::string& text = Value(key);
    const auto range = ParseTokenRange(text);
    if (!range) return Fault(std::string(key) + "=" + text + " " + range.error().message);
    if (range->low == range->high) return workload::FixedTokens{range->low};
    return workload::UniformTokens{range->low, range->high};
  }

  Result<std::optional<Seconds>> Goal(std::string_view key) const {
    if (!Has(key)) return std::nullopt;
    const Result<Seconds> goal = ParseDuration(Value(key));
    if (!goal) return Fault(std::string(key) + "=" + Value(key) + " " + goal.error().message);
    return *goal;
  }

 private:
  static std::string All() {
    std::string all;
    for (const std::string_view key : kKeys) all.append(all.empty() ? "" : ", ").append(key);
    return all;
  }

  std::string name_;
  std::array<std::string, kKeys.size()> values_;
};

Result<workload::Arrivals> ReadArrivals(const ClassText& text, double rate_of_share,
                                        const LoadFileReader& read_file) {
  const int ways = int{text.Has("rate")} + int{text.Has("share")} + int{text.Has("trace")};
  if (ways != 1) return text.Fault("give just one of rate=, share= and trace=");
  if (text.Has("trace")) {
    if (text.Has("cv")) return text.Fault("cv= does not go with trace=; remove one");
    const auto speed = text.Number("speed", 1);
    if (!speed) return tl::unexpected(speed.error());
    const auto file = read_file(text.Value("trace"));
    if (!file) return text.Fault(file.error().message);
    auto trace = workload::ParseTrace(*file, text.Value("trace"));
    if (!trace) return text.Fault(trace.error().message);
    workload::BeginAtZero({&*trace, 1});
    return workload::ReplayArrivals{std::make_shared<const workload::Trace>(std::move(*trace)),
                                    *speed};
  }
  if (text.Has("speed")) return text.Fault("speed= goes with trace= only; remove it");
  const auto rate = text.Number("rate", rate_of_share);
  if (!rate) return tl::unexpected(rate.error());
  const auto cv = text.Number("cv", 1);
  if (!cv) return tl::unexpected(cv.error());
  if (text.Has("cv")) return workload::GammaArrivals{*rate, *cv};
  return workload::PoissonArrivals{*rate};
}

Result<workload::RequestLengths> ReadLengths(const ClassText& text,
                                             const LoadFileReader& read_file) {
  const bool drawn = text.Has("prompt") || text.Has("output");
  if (drawn && text.Has("lengths")) {
    return text.Fault("lengths= does not go with prompt= and output=; remove one");
  }
  if (drawn) {
    if (!text.Has("prompt") || !text.Has("output")) {
      return text.Fault("prompt= and output= go together; give both");
    }
    const auto prompt = text.Distribution("prompt");
    if (!prompt) return tl::unexpected(prompt.error());
    const auto output = text.Distribution("output");
    if (!output) return tl::unexpected(output.error());
    return workload::DistributedLengths{*prompt, *output};
  }
  if (text.Value("lengths") == "sharegpt")
    return workload::EmpiricalLengths{workload::ShareGptLengths()};
  if (text.Has("lengths")) {
    const auto file = read_file(text.Value("lengths"));
    if (!file) return text.Fault(file.error().message);
    auto pairs = workload::ParseLengthCsv(*file, text.Value("lengths"));
    if (!pairs) return text.Fault(pairs.error().message);
    return workload::EmpiricalLengths{
        std::make_shared<const std::vector<workload::RequestLength>>(std::move(*pairs))};
  }
  if (text.Has("trace")) return workload::TraceLengths{};
  return text.Fault("it has no lengths; give lengths=, or prompt= and output=");
}

Result<std::optional<slo::Slo>> ReadSlo(const ClassText& text) {
  slo::Slo slo;
  const std::pair<std::string_view, std::optional<Seconds>*> goals[] = {
      {"ttft", &slo.ttft}, {"tpot", &slo.tpot}, {"tpat", &slo.tpat}, {"e2e", &slo.e2e}};
  for (const auto& [key, goal] : goals) {
    auto read = text.Goal(key);
    if (!read) return tl::unexpected(read.error());
    *goal = *read;
  }
  if (!slo.HasLatency()) return std::nullopt;
  return slo;
}

}  // namespace

Result<workload::Workload> ParseClasses(std::span<const std::string> specs,
                                        std::optional<double> total_rate,
                                        const LoadFileReader& read_file) {
  std::vector<ClassText> texts;
  std::vector<double> shares;
  double all_shares = 0;
  for (const std::string& spec : specs) {
    auto text = ClassText::Parse(spec);
    if (!text) return tl::unexpected(text.error());
    const auto share = text->Number("share", 0);
    if (!share) return tl::unexpected(share.error());
    if (*share > 0 && !total_rate) {
      return text->Fault("share= needs the rate of all classes; give --rate, or rate= here");
    }
    all_shares += *share;
    shares.push_back(*share);
    texts.push_back(std::move(*text));
  }
  workload::Workload workload;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const double rate = shares[i] > 0 ? total_rate.value_or(0) * shares[i] / all_shares : 0;
    auto arrivals = ReadArrivals(texts[i], rate, read_file);
    if (!arrivals) return tl::unexpected(arrivals.error());
    auto lengths = ReadLengths(texts[i], read_file);
    if (!lengths) return tl::unexpected(lengths.error());
    const auto slo = ReadSlo(texts[i]);
    if (!slo) return tl::unexpected(slo.error());
    workload.classes.push_back({.name = texts[i].name(),
                                .arrivals = std::move(*arrivals),
                                .lengths = std::move(*lengths),
                                .slo = *slo,
                                .rate_changes = {}});
  }
  if (auto checked = workload::CheckWorkload(workload); !checked)
    return tl::unexpected(checked.error());
  return workload;
}

}  // namespace headrace::load
