#include "render/top_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.h"
#include "render/admin_json.h"

namespace headrace::render {
namespace {

using Json = nlohmann::json;
using Lines = std::vector<std::string>;

constexpr Seconds kRecent = 300;
constexpr std::size_t kFailures = 8;  // Shown, if there is room.
constexpr std::size_t kFewFailures = 3;
constexpr std::size_t kWide = 100;  // From here on, bars are longer.

// --- Numbers

std::string Rate(double value) {
  return value >= 100 ? FormatFixed(value, 0) : FormatFixed(value, value < 10 ? 2 : 1);
}

// One for each step of a line: values of an array, or their means. nullopt where nothing was.
std::vector<std::optional<double>> Resampled(const std::vector<std::optional<double>>& values,
                                             std::size_t steps) {
  if (values.size() <= steps) return values;
  std::vector<std::optional<double>> means(steps);
  for (std::size_t i = 0; i < steps; ++i) {
    double sum = 0;
    int known = 0;
    for (std::size_t k = i * values.size() / steps; k < (i + 1) * values.size() / steps; ++k) {
      if (!values[k]) continue;
      sum += *values[k];
      ++known;
    }
    if (known > 0) means[i] = sum / known;
  }
  return means;
}

std::string Sparkline(const std::vector<std::optional<double>>& values, double most) {
  static constexpr std::array kSteps{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string text;
  for (const std::optional<double>& value : values) {
    if (!value) {
      text += " ";
      continue;
    }
    const double share = most > 0 ? std::clamp(*value / most, 0.0, 1.0) : 0;
    text += kSteps.at(static_cast<std::size_t>(std::lround(share * (kSteps.size() - 1))));
  }
  return text;
}

// --- The timeline of one model

class Timeline {
 public:
  explicit Timeline(const Json& model)
      : model_(model),
        interval_(NumberOf(model, "interval_s").value_or(1)),
        count_(MemberOf(model, "promised").size()) {
    // The last five minutes, or since the first request.
    std::size_t first = count_;
    for (const Json& counts : MemberOf(model, "ended")) {
      for (std::size_t i = 0; i < std::min(first, counts.size()); ++i) {
        if (counts[i].is_number() && counts[i] > 0) first = i;
      }
    }
    recent_ = std::min(static_cast<std::size_t>(kRecent / interval_),
                       std::max<std::size_t>(1, count_ - first));
  }

  bool known() const { return count_ > 0; }
  double Recent(const Json& values) const {
    double sum = 0;
    for (std::size_t i = values.size() - std::min(recent_, values.size()); i < values.size(); ++i) {
      if (values[i].is_number()) sum += values[i].get<double>();
    }
    return sum;
  }
  double RecentRate(const Json& values) const {
    return Recent(values) / (static_cast<double>(recent_) * interval_);
  }
  std::optional<double> Attainment() const {
    const double promised = Recent(MemberOf(model_, "promised"));
    if (promised == 0) return std::nullopt;
    return Recent(MemberOf(model_, "met")) / promised;
  }
  // The last value that is known, of the last minute.
  std::optional<double> Now(std::string_view name) const {
    const Json& values = MemberOf(model_, name);
    const auto minute = static_cast<std::size_t>(60 / interval_);
    for (std::size_t age = 1; age <= std::min(minute, values.size()); ++age) {
      const Json& value = values[values.size() - age];
      if (value.is_number()) return value.get<double>();
    }
    return std::nullopt;
  }
  std::vector<std::optional<double>> Values(std::string_view name) const {
    std::vector<std::optional<double>> values;
    for (const Json& value : MemberOf(model_, name)) {
      values.push_back(value.is_number() ? std::optional(value.get<double>()) : std::nullopt);
    }
    return values;
  }
  std::vector<std::optional<double>> Attained() const {
    std::vector<std::optional<double>> shares = Values("promised");
    const std::vector<std::optional<double>> met = Values("met");
    for (std::size_t i = 0; i < shares.size(); ++i) {
      const double promised = shares[i].value_or(0);
      shares[i] = promised > 0 && i < met.size() ? std::optional(met[i].value_or(0) / promised)
                                                 : std::nullopt;
    }
    return shares;
  }

 private:
  const Json& model_;
  double interval_;
  std::size_t count_;
  std::size_t recent_ = 1;
};

// --- Endpoints

struct State {
  std::string text;
  Ink ink = Ink::kGood;
};

State StateOf(const Json& endpoint) {
  if (FlagOf(endpoint, "retired")) return {"leaving", Ink::kQuiet};
  if (FlagOf(endpoint, "drained")) return {"drained", Ink::kWarning};
  if (!FlagOf(endpoint, "up")) return {"down", Ink::kBad};
  const std::string circuit = TextOf(MemberOf(endpoint, "ejection"), "state");
  if (circuit.empty() || circuit == "closed") return {"up", Ink::kGood};
  return {circuit, Ink::kWarning};
}

std::string FaultOf(const Json& endpoint) {
  std::string text = TextOf(endpoint, "fault");
  const Json& ejection = MemberOf(endpoint, "ejection");
  if (TextOf(ejection, "state") == "closed") return text;
  if (const std::string fault = TextOf(ejection, "last_fault"); !fault.empty()) {
    text += (text.empty() ? "" : "; ") + fault;
  }
  if (const auto returns = NumberOf(ejection, "returns_in_s")) {
    text += (text.empty() ? "" : ", ") + ("back in " + FormatDuration(*returns));
  }
  return text;
}

std::string LoadBar(double load, std::size_t width) {
  const double filled = std::clamp(load, 0.0, 1.0) * static_cast<double>(width);
  std::string bar;
  for (std::size_t i = 0; i < width; ++i) {
    bar += static_cast<double>(i) + 0.5 <= filled ? "█" : "░";
  }
  return bar + Pad(FormatFixed(100 * load, 0) + " %", 6, Align::kRight);
}

// A line per endpoint, behind the title; those that are not well first, if not all have room.
Lines FleetLines(const Json& model, std::size_t most, const TextStyle& style) {
  FittedTable table{{{"ENDPOINT", Align::kLeft, 0, 14},
                     {"DEPLOYMENT", Align::kLeft, 2, 10},
                     {"STATE"},
                     {"LOAD"},
                     {"RUN", Align::kRight},
                     {"PROMPTS", Align::kRight, 3},
                     {"SLOWER", Align::kRight, 4},
                     {"FAULT", Align::kLeft, 1, 16}},
                    {}};
  std::size_t unwell = 0;
  for (const Json& deployment : MemberOf(model, "deployments")) {
    for (const Json& endpoint : MemberOf(deployment, "endpoints")) {
      const State state = StateOf(endpoint);
      const double load = NumberOf(endpoint, "load").value_or(0);
      const double running = NumberOf(endpoint, "in_flight").value_or(0);
      const bool unknown = load == 0 && running > 0;  // There is no profile to tell it.
      const Json& forecast = MemberOf(endpoint, "forecast");
      const auto in_line = NumberOf(forecast, "prompts_in_line");
      const auto scale = NumberOf(forecast, "scale");
      if (state.text != "up") ++unwell;
      table.rows.push_back({{TextOf(endpoint, "address")},
                            {TextOf(deployment, "name")},
                            {state.text, state.ink},
                            {unknown ? "–" : LoadBar(load, style.width >= kWide ? 20 : 10),
                             load >= 1 ? Ink::kWarning : Ink::kPlain},
                            {FormatNumber(running)},
                            {in_line ? FormatNumber(*in_line) : ""},
                            {scale ? "× " + FormatFixed(*scale, 2) : ""},
                            {FaultOf(endpoint), Ink::kBad}});
    }
  }
  const std::size_t all = table.rows.size();
  if (all == 0) return {};
  std::string left_out;
  if (all > most) {
    const std::size_t shown = most > 0 ? most - 1 : 0;  // And a line about the others.
    std::vector<std::vector<FittedTable::Cell>> sorted;
    for (const bool well : {false, true}) {
      for (auto& row : table.rows) {
        if ((row[2].text == "up") == well) sorted.push_back(row);
      }
    }
    table.rows = std::move(sorted);
    table.rows.resize(shown);
    const std::size_t hidden = unwell > shown ? unwell - shown : 0;
    left_out = "… " + std::to_string(all - shown) + " more" +
               (hidden > 0 ? ", " + std::to_string(hidden) + " of them not up" : ", all up");
  }
  Lines lines = RenderLines(table, style);
  if (!left_out.empty()) lines.push_back(Paint(left_out, Ink::kQuiet, style));
  return lines;
}

// --- A model

// Parts side by side, in as many lines as that takes.
class Flow {
 public:
  explicit Flow(const TextStyle& style) : style_(style) {}
  void Add(const std::string& name, const std::string& value, Ink ink) {
    const std::size_t width = DisplayWidth(name) + 1 + DisplayWidth(value);
    const std::string part = Paint(name, Ink::kQuiet, style_) + " " + Paint(value, ink, style_);
    if (!lines_.empty() && taken_ + 3 + width <= style_.width) {
      lines_.back() += "   " + part;
      taken_ += 3 + width;
    } else {
      lines_.push_back(part);
      taken_ = width;
    }
  }
  Lines lines() const { return lines_; }

 private:
  const TextStyle& style_;
  Lines lines_;
  std::size_t taken_ = 0;
};

void AddTimes(const std::string& name, const Timeline& timeline, const std::string& key,
              Flow& flow) {
  const auto p50 = timeline.Now(key + "_p50_s");
  const auto p95 = timeline.Now(key + "_p95_s");
  if (!p50 || !p95) return;
  flow.Add(name, FormatDuration(*p50) + ", P95 " + FormatDuration(*p95), Ink::kPlain);
}

std::string SizeText(const Json& queue) {
  const double prompt = NumberOf(queue, "prompt_tokens").value_or(0);
  const double output = NumberOf(queue, "output_tokens").value_or(0);
  const std::string length = FormatNumber(NumberOf(queue, "length").value_or(0));
  if (FlagOf(queue, "late")) return length + " late";
  if (prompt == 0 && output == 0) return length + " without SLO";
  return length + " of " + FormatNumber(prompt) + " → " + FormatNumber(output);
}

Lines ModelLines(const Json& model, const Json& timeline_json, const TextStyle& style) {
  const Timeline timeline(timeline_json);
  Lines lines;
  std::string about = TextOf(model, "policy");
  if (const std::string slo = SloText(MemberOf(model, "slo")); !slo.empty()) about += ", " + slo;
  const std::string name = Cut(TextOf(model, "name"), style.width);
  const std::size_t left = style.width - std::min(style.width, DisplayWidth(name) + 2);
  lines.push_back(Paint(name, Ink::kStrong, style) + "  " +
                  Paint(Cut(about, left), Ink::kQuiet, style));
  std::size_t all = 0;
  std::size_t up = 0;
  for (const Json& deployment : MemberOf(model, "deployments")) {
    for (const Json& endpoint : MemberOf(deployment, "endpoints")) {
      if (FlagOf(endpoint, "retired")) continue;  // It finishes what it has.
      ++all;
      if (FlagOf(endpoint, "up") && !FlagOf(endpoint, "drained")) ++up;
    }
  }
  const double waiting = NumberOf(MemberOf(model, "queue"), "length").value_or(0);
  Flow flow(style);
  flow.Add("up", std::to_string(up) + " of " + std::to_string(all),
           up == all ? Ink::kGood : Ink::kWarning);
  flow.Add("running", FormatNumber(NumberOf(model, "in_flight").value_or(0)), Ink::kPlain);
  flow.Add("waiting", FormatNumber(waiting), waiting > 0 ? Ink::kWarning : Ink::kPlain);
  if (timeline.known()) {
    if (const auto share = timeline.Attainment()) {
      flow.Add("SLO met", FormatPercent(*share) + " %",
               *share < 0.9    ? Ink::kBad
               : *share < 0.99 ? Ink::kWarning
                               : Ink::kGood);
    }
    const Json& ended = MemberOf(timeline_json, "ended");
    flow.Add("req/s", Rate(timeline.RecentRate(MemberOf(ended, "completed"))), Ink::kPlain);
    flow.Add("tok/s", Rate(timeline.RecentRate(MemberOf(timeline_json, "output_tokens"))),
             Ink::kPlain);
    AddTimes("TTFT", timeline, "ttft", flow);
    AddTimes("per token", timeline, "tpot", flow);
  }
  for (std::string& line : flow.lines()) lines.push_back(std::move(line));
  if (const std::string fault = TextOf(model, "source_fault"); !fault.empty()) {
    lines.push_back(Paint(Cut(fault, style.width), Ink::kBad, style));
  }
  if (timeline.known()) {
    const auto attained = timeline.Attained();
    const auto ttft = timeline.Values("ttft_p95_s");
    constexpr std::size_t kLabels = 30;  // Of both lines, with what is between them.
    const std::size_t steps =
        std::min<std::size_t>(60, (style.width - std::min(style.width - 1, kLabels)) / 2);
    double slowest = 0;
    for (const auto& value : ttft) slowest = std::max(slowest, value.value_or(0));
    if (slowest > 0 || std::ranges::any_of(attained, [](const auto& one) { return !!one; })) {
      const std::string met = Sparkline(Resampled(attained, steps), 1);
      const std::string line = Paint("30 min: met ", Ink::kQuiet, style) + met +
                               Paint("│ TTFT P95 ", Ink::kQuiet, style) +
                               Sparkline(Resampled(ttft, steps), slowest);
      lines.push_back(line + Paint("│", Ink::kQuiet, style));
    }
  }
  std::string queue;
  for (const Json& one : MemberOf(MemberOf(model, "queue"), "sub_queues")) {
    if (NumberOf(one, "length").value_or(0) > 0)
      queue += (queue.empty() ? "" : ", ") + SizeText(one);
  }
  if (!queue.empty()) {
    lines.push_back(Paint("waiting: ", Ink::kQuiet, style) +
                    Cut(queue, style.width - std::min<std::size_t>(style.width, 9)));
  }
  return lines;
}

// --- The whole

Lines FailureLines(const Json& failures, std::size_t most, const TextStyle& style) {
  FittedTable table{{{"UTC"},
                     {"OUTCOME"},
                     {"MODEL", Align::kLeft, 2, 8},
                     {"WHY", Align::kLeft, 0, 24},
                     {"REQUEST", Align::kLeft, 1}},
                    {}};
  for (const Json& failure : failures) {
    if (table.rows.size() == most) break;
    const std::string outcome = TextOf(failure, "outcome");
    table.rows.push_back({{ClockTime(NumberOf(failure, "at").value_or(0))},
                          {outcome, outcome == "refused" ? Ink::kWarning : Ink::kBad},
                          {TextOf(failure, "model")},
                          {TextOf(failure, "why")},
                          {Cut(TextOf(failure, "request_id"), 32), Ink::kQuiet}});
  }
  return table.rows.empty() ? Lines() : RenderLines(table, style);
}

Lines HeadLines(const TopPicture& picture, const Json& status, const TextStyle& style) {
  Lines lines;
  const bool known = status.is_object();
  State state{"unknown", Ink::kBad};
  if (known) {
    state = FlagOf(status, "draining") ? State{"draining", Ink::kWarning}
            : FlagOf(status, "ready")  ? State{"ready", Ink::kGood}
                                       : State{"not ready", Ink::kBad};
  }
  const std::string version = TextOf(status, "version");
  const std::string time = picture.asked > 0 ? "  " + ClockTime(picture.asked) + " UTC" : "";
  const std::string name = "headrace" + (version.empty() ? "" : " " + version);
  const std::size_t used = DisplayWidth(name) + DisplayWidth(state.text) + 4;
  lines.push_back(Paint(name, Ink::kStrong, style) + "  " + Paint(state.text, state.ink, style) +
                  "  " +
                  Paint(Cut(picture.address + time, style.width - std::min(style.width, used)),
                        Ink::kQuiet, style));
  const auto say = [&](const std::string& text, Ink ink) {
    for (const std::string& line : Wrap(text, style.width)) {
      lines.push_back(Paint(line, ink, style));
    }
  };
  if (!picture.notice.empty()) say(picture.notice, Ink::kBad);
  const Json& configuration = MemberOf(status, "configuration");
  if (!configuration.is_object()) return lines;
  std::string waiting;
  for (const Json& option : MemberOf(configuration, "awaiting_restart")) {
    if (!option.is_string()) continue;
    waiting += (waiting.empty() ? "" : ", ") + Printable(option.get_ref<const std::string&>());
  }
  const std::string taken = TextOf(configuration, "state");
  if (taken != "in force") say(TextOf(configuration, "file") + " is " + taken + ":", Ink::kBad);
  for (const Json& fault : MemberOf(configuration, "faults")) {
    if (fault.is_string()) say(Printable(fault.get_ref<const std::string&>()), Ink::kBad);
  }
  if (!waiting.empty()) say("Needs a restart: " + waiting, Ink::kWarning);
  return lines;
}

}  // namespace

std::string SloText(const Json& slo) {
  std::string text;
  for (const auto& [key, value] : slo.items()) {
    if (!value.is_number()) continue;
    const std::string name = key.ends_with("_s") ? key.substr(0, key.size() - 2) : key;
    text +=
        (text.empty() ? "" : ", ") + Printable(name) + " " + FormatDuration(value.get<double>());
  }
  return text;
}

std::string TopText(const TopPicture& picture, const TextStyle& style) {
  const Json status = ReadJson(picture.status);
  const Json timeline = ReadJson(picture.timeline);
  const Lines head = HeadLines(picture, status, style);
  const auto timeline_of = [&](const std::string& model) -> const Json& {
    static const Json kNothing;
    for (const Json& one : MemberOf(timeline, "models")) {
      if (TextOf(one, "name") == model) return one;
    }
    return kNothing;
  };
  struct Model {
    Lines about;
    const Json* json = nullptr;
    std::size_t endpoints = 0;
  };
  std::vector<Model> models;
  std::size_t lines = head.size();
  std::size_t endpoints = 0;
  for (const Json& json : MemberOf(status, "models")) {
    Model& model = models.emplace_back();
    model.json = &json;
    model.about = ModelLines(json, timeline_of(TextOf(json, "name")), style);
    for (const Json& deployment : MemberOf(json, "deployments")) {
      model.endpoints += MemberOf(deployment, "endpoints").size();
    }
    lines += model.about.size() + 2;  // A blank line, and the table's title.
    endpoints += model.endpoints;
  }
  const Json& failures = MemberOf(timeline, "failures");
  std::size_t shown = std::min(kFailures, failures.size());
  const auto taken = [&] { return lines + endpoints + (shown > 0 ? shown + 2 : 0); };
  if (style.height > 0 && taken() > style.height) shown = std::min(kFewFailures, shown);
  // Each model's part of the lines that are left for endpoints.
  const std::size_t rest = lines + (shown > 0 ? shown + 2 : 0);
  const bool fits = style.height == 0 || taken() <= style.height;
  const std::size_t room = fits ? endpoints : style.height > rest ? style.height - rest : 0;

  Lines all = head;
  for (const Model& model : models) {
    const std::size_t most =
        fits ? model.endpoints
             : std::max<std::size_t>(1,
                                     room * model.endpoints / std::max<std::size_t>(1, endpoints));
    all.emplace_back();
    all.insert(all.end(), model.about.begin(), model.about.end());
    const Lines fleet = FleetLines(*model.json, most, style);
    all.insert(all.end(), fleet.begin(), fleet.end());
  }
  if (const Lines last = FailureLines(failures, shown, style); !last.empty()) {
    all.emplace_back();
    all.insert(all.end(), last.begin(), last.end());
  }
  if (style.height > 0 && all.size() > style.height) all.resize(style.height);
  std::string text;
  for (const std::string& line : all) text += line + "\n";
  return text;
}

}  // namespace headrace::render
