#include "render/trace_view.h"

#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "render/columns.h"
#include "render/escape.h"
#include "render/page.h"
#include "render/plot.h"
#include "render/table.h"

namespace headrace::render {
namespace {

using workload::BurstSummary;
using workload::LengthSummary;
using workload::TraceSummary;

constexpr std::string_view kRate = "Requests per second";
constexpr std::string_view kBurstNote =
    "Bursts: of Poisson arrivals, both the variance of the windows' counts divided by their mean "
    "and the CV of the gaps are 1; the gaps' CV is the median of the windows with 20 requests.";

std::string Span(Seconds span) {
  if (span < 120) return FormatDuration(span);
  if (span < 2 * 3600.0) return FormatNumber(span / 60) + " min";
  return span < 2 * 86400.0 ? FormatNumber(span / 3600) + " h" : FormatNumber(span / 86400) + " d";
}

// "19366 requests in 58.3 min: 5.53/s, CV of the gaps 1.2".
std::string Headline(const TraceSummary& summary) {
  std::string text =
      std::to_string(summary.requests) + (summary.requests == 1 ? " request" : " requests");
  if (!summary.timed) return text + ", without times";
  if (summary.rates.empty()) return text + (summary.requests == 1 ? "" : ", all at one time");
  return text + " in " + Span(summary.span) + ": " + FormatNumber(summary.mean_rate) +
         "/s, CV of the gaps " + FormatFixed(summary.gap_cv, 2);
}

Table LengthTable(const TraceSummary& summary) {
  Table table{{{"Tokens"},
               {"mean", Align::kRight},
               {"P50", Align::kRight},
               {"P90", Align::kRight},
               {"P95", Align::kRight},
               {"P99", Align::kRight},
               {"most", Align::kRight}},
              {}};
  const auto add = [&table](std::string name, const LengthSummary& lengths) {
    std::vector<std::string>& row = table.rows.emplace_back();
    row = {std::move(name), FormatNumber(lengths.mean)};
    for (const Tokens tokens : {lengths.p50, lengths.p90, lengths.p95, lengths.p99, lengths.most}) {
      row.push_back(std::to_string(tokens));
    }
  };
  add("prompt", summary.prompt);
  add("output", summary.output);
  return table;
}

Table BurstTable(const TraceSummary& summary) {
  Table table{{{"Windows of"},
               {"most requests/s", Align::kRight},
               {"variance / mean", Align::kRight},
               {"CV of the gaps", Align::kRight}},
              {}};
  for (const BurstSummary& bursts : summary.bursts) {
    table.rows.push_back({Span(bursts.window), FormatNumber(bursts.peak_rate),
                          FormatNumber(bursts.dispersion),
                          bursts.gap_cv ? FormatFixed(*bursts.gap_cv, 2) : "n/a"});
  }
  return table;
}

// The share of requests in each doubling of tokens.
Table ShareTable(const TraceSummary& summary, std::size_t width) {
  Table table{{{"Tokens", Align::kRight}, {"prompts, %"}, {"outputs, %"}}, {}};
  const auto& prompts = summary.prompt.doublings;
  const auto& outputs = summary.output.doublings;
  const std::size_t bar = std::clamp<std::size_t>(width > 40 ? (width - 40) / 2 : 0, 4, 30);
  const auto cell = [&](const std::vector<std::size_t>& counts, std::size_t i) {
    const double share =
        i < counts.size() ? static_cast<double>(counts[i]) / static_cast<double>(summary.requests)
                          : 0;
    std::string text = Pad(FormatPercent(share), 5, Align::kRight) + " ";
    const auto filled = static_cast<std::size_t>(share * static_cast<double>(bar) + 0.5);
    for (std::size_t k = 0; k < filled; ++k) text += "█";
    return Pad(text, bar + 6, Align::kLeft);
  };
  for (std::size_t i = 0; i < std::max(prompts.size(), outputs.size()); ++i) {
    const std::size_t low = std::size_t{1} << i;
    table.rows.push_back({i == 0 ? "1" : std::to_string(low) + "–" + std::to_string(2 * low - 1),
                          cell(prompts, i), cell(outputs, i)});
  }
  return table;
}

std::string RateSvg(const TraceSummary& summary) {
  LineChart chart{.title = std::string(kRate),
                  .x_label = "seconds since the first request",
                  .y_label = "requests/s",
                  .x_max = summary.span,
                  .y_max = std::ranges::max(summary.rates) * 1.05};
  Series series{.name = "rate"};
  for (std::size_t i = 0; i < summary.rates.size(); ++i) {
    series.points.push_back(
        {summary.span * (static_cast<double>(i) + 0.5) / static_cast<double>(summary.rates.size()),
         summary.rates[i]});
  }
  chart.series.push_back(std::move(series));
  return RenderSvg(chart);
}

// Up to P99: the longest ones would leave no room for the others.
std::string LengthSvg(const TraceSummary& summary) {
  LineChart chart{.title = "Requests of at most so many tokens",
                  .x_label = "tokens",
                  .y_label = "share of the requests",
                  .x_max = 1.0 * std::max({summary.prompt.p99, summary.output.p99, 2}),
                  .percent = true};
  const auto add = [&chart](std::string name, const LengthSummary& lengths, std::size_t colour) {
    Series series{.name = std::move(name), .colour = colour};
    for (std::size_t i = 0; i < lengths.percentiles.size(); ++i) {
      series.points.push_back(
          {static_cast<double>(lengths.percentiles[i]), static_cast<double>(i) / 100});
    }
    chart.series.push_back(std::move(series));
  };
  add("prompt", summary.prompt, 0);
  add("output", summary.output, 1);
  return RenderSvg(chart);
}

}  // namespace

std::string RenderText(const TraceView& view, std::size_t width) {
  const TraceSummary& summary = view.summary;
  std::string text = view.name + ": " + view.format + "\n" + Headline(summary) + "\n";
  for (const std::string& note : view.notes) text += note + "\n";
  if (!summary.rates.empty()) {
    text +=
        "\n" + std::string(kRate) + "\n" +
        RenderText(ColumnChart{.values = summary.rates, .begin = "0", .end = Span(summary.span)},
                   width);
  }
  if (!summary.bursts.empty()) text += "\n" + RenderText(BurstTable(summary));
  return text + "\n" + RenderText(LengthTable(summary)) + "\n" +
         RenderText(ShareTable(summary, width));
}

std::string RenderHtml(const TraceView& view) {
  const TraceSummary& summary = view.summary;
  std::string body = "<p>" + Escape(view.format) + ". " + Escape(Headline(summary)) + "</p>\n";
  for (const std::string& note : view.notes) body += "<p>" + Escape(note) + "</p>\n";
  if (!summary.rates.empty()) body += RateSvg(summary);
  if (!summary.bursts.empty()) {
    body += RenderHtml(BurstTable(summary)) + "<p>" + std::string(kBurstNote) + "</p>\n";
  }
  body += LengthSvg(summary) + RenderHtml(LengthTable(summary));
  return RenderPage(view.name, "svg{max-width:100%;height:auto;margin:1rem 0}", body);
}

}  // namespace headrace::render
