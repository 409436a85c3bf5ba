#include "telemetry/open_metrics.h"

#include <prometheus/metric_family.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace headrace::telemetry {
namespace {

void AppendNumber(double number, std::string& out) {
  if (std::isnan(number)) {
    out += "NaN";
  } else if (std::isinf(number)) {
    out += number > 0 ? "+Inf" : "-Inf";
  } else {
    char text[32];
    const auto [end, error] = std::to_chars(text, text + sizeof text, number);
    out.append(text, error == std::errc{} ? end : text);
  }
}

// As the bound of a bucket has to be written: "1.0".
std::string BoundText(double bound) {
  std::string text;
  AppendNumber(bound, text);
  if (text.find_first_not_of("0123456789") == std::string::npos) text += ".0";
  return text;
}

void AppendEscaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
}

class Writer {
 public:
  explicit Writer(const ExemplarsOf& exemplars) : exemplars_(exemplars) {}

  void Write(const prometheus::MetricFamily& family) {
    const bool counter = family.type == prometheus::MetricType::Counter;
    const bool histogram = family.type == prometheus::MetricType::Histogram;
    // Of a counter only its samples end so.
    constexpr std::string_view kTotal = "_total";
    std::string_view name = family.name;
    if (counter && name.ends_with(kTotal)) name.remove_suffix(kTotal.size());
    text_.append("# TYPE ").append(name).append(counter     ? " counter\n"
                                                : histogram ? " histogram\n"
                                                            : " gauge\n");
    text_.append("# HELP ").append(name).append(" ");
    AppendEscaped(family.help, text_);
    text_ += '\n';
    for (const prometheus::ClientMetric& metric : family.metric) {
      if (counter) {
        Sample(name, kTotal, metric, metric.counter.value);
      } else if (histogram) {
        WriteHistogram(name, metric);
      } else {
        Sample(name, "", metric, metric.gauge.value);
      }
    }
  }

  std::string Take() {
    text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
  void Begin(std::string_view name, std::string_view suffix, const prometheus::ClientMetric& metric,
             std::string_view bound = {}) {
    text_.append(name).append(suffix);
    if (metric.label.empty() && bound.empty()) {
      text_ += ' ';
      return;
    }
    char before = '{';
    const auto add = [&](std::string_view key, std::string_view value) {
      text_ += std::exchange(before, ',');
      text_.append(key).append("=\"");
      AppendEscaped(value, text_);
      text_ += '"';
    };
    for (const auto& label : metric.label) add(label.name, label.value);
    if (!bound.empty()) add("le", bound);
    text_ += "} ";
  }
  void Sample(std::string_view name, std::string_view suffix,
              const prometheus::ClientMetric& metric, double value) {
    Begin(name, suffix, metric);
    AppendNumber(value, text_);
    text_ += '\n';
  }
  void WriteHistogram(std::string_view name, const prometheus::ClientMetric& metric) {
    std::map<std::string, std::string> labels;
    for (const auto& label : metric.label) labels.emplace(label.name, label.value);
    const std::vector<Exemplar> exemplars = exemplars_(std::string(name), labels);
    for (std::size_t i = 0; i < metric.histogram.bucket.size(); ++i) {
      const auto& bucket = metric.histogram.bucket[i];
      Begin(name, "_bucket", metric, BoundText(bucket.upper_bound));
      text_ += std::to_string(bucket.cumulative_count);
      if (i < exemplars.size() && !exemplars[i].trace_id.empty()) Append(exemplars[i]);
      text_ += '\n';
    }
    Begin(name, "_count", metric);
    text_.append(std::to_string(metric.histogram.sample_count)).append("\n");
    Sample(name, "_sum", metric, metric.histogram.sample_sum);
  }
  void Append(const Exemplar& exemplar) {
    text_.append(" # {trace_id=\"").append(exemplar.trace_id).append("\"} ");
    AppendNumber(exemplar.value, text_);
    text_.append(" ").append(FormatFixed(exemplar.at, 3));
  }

  const ExemplarsOf& exemplars_;
  std::string text_;
};

// The quality of one part of an Accept header, and whether it is for the version of this file.
struct Wanted {
  std::string_view type;
  double quality = 1;
  bool version = true;
};

Wanted WantedBy(std::string_view part) {
  Wanted wanted;
  wanted.type = Trimmed(part.substr(0, part.find(';')));
  while (part.find(';') != part.npos) {
    part.remove_prefix(part.find(';') + 1);
    const std::string_view parameter = Trimmed(part.substr(0, part.find(';')));
    if (parameter.starts_with("q=")) {
      const std::string_view number = parameter.substr(2);
      const auto [end, error] =
          std::from_chars(number.data(), number.data() + number.size(), wanted.quality);
      if (error != std::errc{} || end != number.data() + number.size()) wanted.quality = 0;
    } else if (parameter.starts_with("version=")) {
      std::string_view version = parameter.substr(std::string_view("version=").size());
      if (version.starts_with('"')) version = Trimmed(version, "\"");
      wanted.version = version == "1.0.0";
    }
  }
  return wanted;
}

}  // namespace

std::string OpenMetricsText(const std::vector<prometheus::MetricFamily>& families,
                            const ExemplarsOf& exemplars) {
  Writer writer(exemplars);
  for (const prometheus::MetricFamily& family : families) {
    if (!family.metric.empty()) writer.Write(family);
  }
  return writer.Take();
}

bool PrefersOpenMetrics(std::string_view accept) {
  double open = 0;
  double text = 0;
  while (!accept.empty()) {
    const std::size_t comma = std::min(accept.find(','), accept.size());
    const Wanted wanted = WantedBy(accept.substr(0, comma));
    accept.remove_prefix(std::min(comma + 1, accept.size()));
    if (wanted.type == "application/openmetrics-text" && wanted.version) {
      open = std::max(open, wanted.quality);
    } else if (wanted.type == "text/plain" || wanted.type == "text/*" || wanted.type == "*/*") {
      text = std::max(text, wanted.quality);
    }
  }
  return open > 0 && open >= text;
}

}  // namespace headrace::telemetry
