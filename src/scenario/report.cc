#include "scenario/report.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/text.h"
#include "render/escape.h"
#include "render/page.h"
#include "render/plot.h"
#include "render/table.h"
#include "scenario/summary.h"

namespace headrace::scenario {
namespace {

constexpr int kCdfPoints = 200;

bool IsBaseline(const Policy& policy) { return policy.kind != Policy::Kind::kScheduler; }

std::string AtRate(double rate) { return " at rate × " + FormatNumber(rate); }

std::size_t SeedsOf(const Study& study) { return static_cast<std::size_t>(study.scenario->seeds); }

// The rate nearest to 1.
std::size_t MainRate(const Scenario& scenario) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < scenario.rates.size(); ++i) {
    if (std::abs(scenario.rates[i] - 1) < std::abs(scenario.rates[best] - 1)) best = i;
  }
  return best;
}

std::optional<double> TpatSlo(const Scenario& scenario) {
  const std::optional<slo::Slo>& slo = scenario.workload.classes.front().slo;
  return slo ? slo->tpat : std::nullopt;
}

// A line per policy, over the rates.
render::LineChart RateChart(const Study& study, std::string title,
                            const std::function<Estimate(std::size_t, std::size_t)>& figure) {
  const Scenario& scenario = *study.scenario;
  const auto [low, high] = std::ranges::minmax(scenario.rates);
  render::LineChart chart{
      .title = std::move(title),
      .x_label = "offered rate, × the scenario's (band: 95 % interval over seeds)",
      .y_label = "attainment",
      .x_min = low,
      .x_max = high > low ? high : low * 1.01,
      .percent = true};
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    render::Series series{
        .name = scenario.policies[c].name, .colour = c, .dashed = IsBaseline(scenario.policies[c])};
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      const Estimate estimate = figure(c, r);
      series.points.push_back({scenario.rates[r], estimate.mean});
      series.low.push_back({scenario.rates[r], estimate.low});
      series.high.push_back({scenario.rates[r], estimate.high});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

Figure AttainmentFigure(const Study& study) {
  const Scenario& scenario = *study.scenario;
  render::LineChart chart =
      RateChart(study, "Requests that met their SLO",
                [&](std::size_t c, std::size_t r) { return AttainmentOf(study, c, r); });
  for (const auto& [name, figure] :
       {std::pair{kBoundName, &ModeBound::known}, std::pair{kBlindBoundName, &ModeBound::blind}}) {
    render::Series bound{.name = name, .colour = chart.series.size(), .dashed = true};
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      bound.points.push_back({scenario.rates[r], BoundOver(study, r, figure).mean});
    }
    chart.series.push_back(std::move(bound));
  }
  return {"attainment.svg", render::RenderSvg(chart)};
}

Figure WorstClassFigure(const Study& study) {
  return {"worst-class.svg",
          render::RenderSvg(RateChart(
              study, "Requests of the worst class that met their SLO",
              [&](std::size_t c, std::size_t r) { return WorstClassOf(study, c, r).attainment; }))};
}

Histogram TpatOver(const Study& study, std::size_t policy, std::size_t rate) {
  Histogram all;
  for (std::size_t seed = 0; seed < SeedsOf(study); ++seed) {
    all.Merge(study.At(policy, rate, seed).result.statistics.Total().tpat);
  }
  return all;
}

Figure CdfFigure(const Study& study, std::size_t rate) {
  const Scenario& scenario = *study.scenario;
  const std::optional<double> slo = TpatSlo(scenario);
  render::LineChart chart{.title = "Latency per token" + AtRate(scenario.rates[rate]),
                          .x_label = "seconds per token of prompt and answer",
                          .y_label = "share of completed requests",
                          .percent = true};
  // Long tails would compress everything else at the left edge.
  chart.x_max = 0.01;
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    const Histogram all = TpatOver(study, c, rate);
    chart.x_max = std::max(chart.x_max, all.Quantile(0.99));
    render::Series series{
        .name = scenario.policies[c].name, .colour = c, .dashed = IsBaseline(scenario.policies[c])};
    for (int i = 0; i <= kCdfPoints; ++i) {
      const double share = static_cast<double>(i) / kCdfPoints;
      series.points.push_back({all.Quantile(share), share});
    }
    chart.series.push_back(std::move(series));
  }
  if (slo) {
    chart.x_marks = {*slo};
    chart.x_max = std::min(chart.x_max, 4 * *slo);
  }
  return {"cdf-" + FormatNumber(scenario.rates[rate]) + ".svg", render::RenderSvg(chart)};
}

Figure PlacementFigure(const Study& study, std::size_t rate) {
  const Scenario& scenario = *study.scenario;
  render::PartsChart chart{.title = "Where each class went" + AtRate(scenario.rates[rate])};
  for (const sim::SimDeployment& deployment : scenario.fleet) {
    chart.parts.push_back(std::to_string(deployment.endpoints) + "×" + deployment.name);
  }
  for (std::size_t k = 0; k < scenario.workload.classes.size(); ++k) {
    for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
      render::PartsChart::Row row{.group = scenario.workload.classes[k].name,
                                  .name = scenario.policies[c].name,
                                  .parts = std::vector<double>(scenario.fleet.size())};
      double offered = 0;
      for (std::size_t seed = 0; seed < SeedsOf(study); ++seed) {
        const sim::SimulationResult& result = study.At(c, rate, seed).result;
        offered += static_cast<double>(result.statistics.of(k).offered);
        for (std::size_t d = 0; d < scenario.fleet.size(); ++d) {
          row.parts[d] += static_cast<double>(result.deployments[d].sent[k]);
        }
      }
      for (double& part : row.parts) part = offered > 0 ? part / offered : 0;
      chart.rows.push_back(std::move(row));
    }
  }
  return {"placement-" + FormatNumber(scenario.rates[rate]) + ".svg", render::RenderSvg(chart)};
}

// A figure over the counted time.
render::LineChart TimelineChart(const Scenario& scenario, std::size_t rate, std::string title) {
  return {.title = std::move(title) + AtRate(scenario.rates[rate]),
          .x_label = "seconds since the warm-up",
          .x_min = 0,
          .x_max = scenario.DurationAt(scenario.rates[rate])};
}

double StepTime(const Scenario& scenario, std::size_t rate, std::size_t step) {
  return scenario.DurationAt(scenario.rates[rate]) * (static_cast<double>(step) + 0.5) /
         sim::kTimelineSteps;
}

Figure AttainmentTimeline(const Study& study, std::size_t rate) {
  const Scenario& scenario = *study.scenario;
  render::LineChart chart =
      TimelineChart(scenario, rate, "Requests that met their SLO, by arrival,");
  chart.y_label = "attainment";
  chart.percent = true;
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    render::Series series{
        .name = scenario.policies[c].name, .colour = c, .dashed = IsBaseline(scenario.policies[c])};
    for (std::size_t step = 0; step < sim::kTimelineSteps; ++step) {
      double offered = 0;
      double attained = 0;
      for (std::size_t seed = 0; seed < SeedsOf(study); ++seed) {
        const sim::TimelineStep& one = study.At(c, rate, seed).result.timeline[step];
        for (const auto count : one.offered) offered += static_cast<double>(count);
        for (const auto count : one.attained) attained += static_cast<double>(count);
      }
      if (offered > 0)
        series.points.push_back({StepTime(scenario, rate, step), attained / offered});
    }
    chart.series.push_back(std::move(series));
  }
  return {"timeline-attainment.svg", render::RenderSvg(chart)};
}

Figure LoadTimeline(const Study& study, std::size_t rate, std::size_t policy) {
  const Scenario& scenario = *study.scenario;
  const std::string& name = scenario.policies[policy].name;
  render::LineChart chart = TimelineChart(scenario, rate, "Requests in flight under " + name);
  chart.y_label = "requests (mean over seeds)";
  const auto add = [&](const std::string& label,
                       const std::function<double(const sim::TimelineStep&)>& figure) {
    render::Series series{.name = label, .colour = chart.series.size()};
    for (std::size_t step = 0; step < sim::kTimelineSteps; ++step) {
      double sum = 0;
      for (std::size_t seed = 0; seed < SeedsOf(study); ++seed) {
        sum += figure(study.At(policy, rate, seed).result.timeline[step]);
      }
      const double mean = sum / static_cast<double>(SeedsOf(study));
      series.points.push_back({StepTime(scenario, rate, step), mean});
      chart.y_max = std::max(chart.y_max, mean);
    }
    chart.series.push_back(std::move(series));
  };
  for (std::size_t d = 0; d < scenario.fleet.size(); ++d) {
    add("per " + scenario.fleet[d].name,
        [d](const sim::TimelineStep& step) { return step.in_flight[d]; });
  }
  add("waiting", [](const sim::TimelineStep& step) { return step.waiting; });
  return {"timeline-" + name + ".svg", render::RenderSvg(chart)};
}

constexpr std::string_view kStyle = R"(
body{max-width:60rem}
table{margin:1rem 0;font-size:13px}
th,td{white-space:nowrap}
figure{margin:1.5rem 0}
svg{max-width:100%;height:auto}
.warning{background:#fff3cd;color:#222;padding:.6rem 1rem;border-radius:.4rem}
.wide{overflow-x:auto}
)";

std::string Paragraph(const std::string& text) { return "<p>" + render::Escape(text) + "</p>\n"; }

std::string WideTable(const render::Table& table) {
  return "<div class=\"wide\">" + render::RenderHtml(table) + "</div>\n";
}

}  // namespace

std::vector<Figure> RenderFigures(const Study& study) {
  const Scenario& scenario = *study.scenario;
  const std::size_t main = MainRate(scenario);
  std::vector<Figure> figures;
  if (scenario.rates.size() > 1) {
    figures.push_back(AttainmentFigure(study));
    if (scenario.workload.classes.size() > 1) figures.push_back(WorstClassFigure(study));
  }
  for (std::size_t r = 0; r < scenario.rates.size(); ++r) figures.push_back(CdfFigure(study, r));
  for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
    figures.push_back(PlacementFigure(study, r));
  }
  figures.push_back(AttainmentTimeline(study, main));
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    figures.push_back(LoadTimeline(study, main, c));
  }
  return figures;
}

std::string RenderReport(const Study& study, const GoodputSearch* goodput) {
  const Scenario& scenario = *study.scenario;
  std::string body = Paragraph(scenario.about);
  const std::string unstable = DescribeInstability(scenario, study.bounds);
  std::vector<std::string> warnings = scenario.warnings;
  warnings.push_back(unstable);
  warnings.push_back(DescribeTooLong(study));
  for (const std::string& warning : warnings) {
    if (warning.empty()) continue;
    body += "<p class=\"warning\">" + render::Escape(warning) + "</p>\n";
  }
  body += "<h2>Attainment</h2>\n" +
          Paragraph("Requests that met their SLO, in % of those offered: mean over " +
                    std::to_string(scenario.seeds) +
                    " seeds, its 95 % interval, and % of the upper bound. Refused and unfinished "
                    "requests are misses.") +
          WideTable(AttainmentTable(study));
  if (scenario.workload.classes.size() > 1) {
    body += Paragraph("The same of the class with the lowest attainment, and its name.") +
            WideTable(WorstClassTable(study));
  }
  if (goodput != nullptr) {
    body += "<h2>Goodput</h2>\n" + Paragraph(kGoodputCaption) +
            WideTable(GoodputTable(scenario, *goodput));
  }
  body += "<h2>P99 latency per token</h2>\n" +
          Paragraph("Of completed requests, in ms per token of prompt and response.") +
          WideTable(P99TpatTable(study));
  if (const render::Table forecasts = ForecastTable(study); !forecasts.rows.empty()) {
    body += "<h2>Forecasts</h2>\n" +
            Paragraph(
                "Real time of completed requests divided by the one predicted when they were "
                "sent: 1 is a perfect forecast. E2E is predicted for the length that a "
                "response really had.") +
            WideTable(forecasts) +
            Paragraph(
                "Requests by the predicted probability that they miss their SLO, over all "
                "rates: that probability on average, and how many did miss it.") +
            WideTable(MissTable(study));
  }
  body += "<h2>Figures</h2>\n";
  for (const Figure& figure : RenderFigures(study)) {
    body += "<figure id=\"" + render::Escape(figure.file) + "\">" + figure.svg + "</figure>\n";
  }
  const std::string grouped = DescribeGroups(study);
  if (!grouped.empty()) body += Paragraph(grouped);
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      if (study.SplitOf(c, r).empty()) continue;
      body += Paragraph(scenario.policies[c].name + AtRate(scenario.rates[r]) + ": " +
                        DescribeSplit(study, c, r));
    }
  }
  return render::RenderPage(scenario.name, kStyle, body);
}

}  // namespace headrace::scenario
