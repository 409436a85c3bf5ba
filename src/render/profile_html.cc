#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/text.h"
#include "render/escape.h"
#include "render/heat_map.h"
#include "render/page.h"
#include "render/profile_view.h"
#include "render/table.h"
#include "slo/slo_text.h"

namespace headrace::render {
namespace {

// Each cell carries its strength (`--t`) and the browser mixes the colours; browsers without
// color-mix keep the SVG's own `fill`.
constexpr std::string_view kStyle = R"(
:root{--tput-lo:#e8f3f1;--tput-hi:#0f766e;--lat-lo:#fdf0e3;--lat-hi:#c2410c;--good:#15803d;--bad:#be123c;
--mid:#f4f4f2;--none:#eceef1;--on-mid:#1c2430;--on-hi:#fff;--error:#be123c;--warning:#a16207}
@media(prefers-color-scheme:dark){:root{--tput-lo:#16302f;--tput-hi:#5eead4;--lat-lo:#33241a;--lat-hi:#fdba74;
--good:#4ade80;--bad:#fb7185;--mid:#222a34;--none:#20262f;--on-mid:#10151c;--on-hi:#10151c;--error:#fb7185;
--warning:#facc15}}
body{max-width:1900px}
p.note{margin:.1rem 0 .9rem;color:var(--soft)}
td:first-child{font-weight:700}td:last-child{color:var(--soft);overflow-wrap:anywhere}
.maps{display:flex;flex-wrap:wrap;gap:1.1rem}
figure{margin:0;padding:1rem 1.1rem .8rem;background:var(--card);border:1px solid var(--line);
border-radius:10px;max-width:100%;overflow-x:auto}
figcaption{font-weight:600;margin-bottom:.5rem}
svg{display:block}svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;
font-variant-numeric:tabular-nums;fill:var(--ink)}
svg text.axis{fill:var(--soft)}svg text.mid{fill:var(--on-mid)}svg text.hi{fill:var(--on-hi)}svg text.dim{fill:var(--soft)}
svg rect.none{fill:var(--none)}svg rect.unknown{fill:none;stroke:var(--line);stroke-dasharray:3 3}
.absent{color:var(--soft);margin:.5rem 0}
.legend{display:flex;align-items:center;gap:.6rem;margin:0 0 .8rem;color:var(--soft);font-size:.86rem;
font-variant-numeric:tabular-nums}
.legend i{display:inline-block;width:11rem;height:.6rem;border-radius:3px}
.legend .tput{background:linear-gradient(90deg in oklab,var(--tput-lo),var(--tput-hi))}
.legend .lat{background:linear-gradient(90deg in oklab,var(--lat-lo),var(--lat-hi))}
.legend .head{background:linear-gradient(90deg in oklab,var(--bad),var(--mid),var(--good))}
@supports(color:color-mix(in oklab,red,blue)){
svg rect.tput{fill:color-mix(in oklab,var(--tput-hi) var(--t),var(--tput-lo))}
svg rect.lat{fill:color-mix(in oklab,var(--lat-hi) var(--t),var(--lat-lo))}
svg rect.good{fill:color-mix(in oklab,var(--good) var(--t),var(--mid))}
svg rect.bad{fill:color-mix(in oklab,var(--bad) var(--t),var(--mid))}}
ul{padding:0;margin:.6rem 0 0;list-style:none}li{padding:.25rem 0 .25rem 5.2rem;text-indent:-5.2rem}
li b{display:inline-block;width:5.2rem;text-indent:0;font-weight:600}
li .error{color:var(--error)}li .warning{color:var(--warning)}
)";

constexpr int kCellWidth = 54;
constexpr int kCellHeight = 34;
constexpr int kLeft = 78;  // Axis title and row labels.
constexpr int kTop = 44;   // Axis title and column labels.
// From these strengths on, a cell's text changes its colour: normal on a weak background, dark in
// either theme on a middle one, inverted on a strong one.
constexpr double kMiddle = 0.5;
constexpr double kStrong = 0.72;

// The class of a cell and the colour it has where CSS cannot mix.
struct Paint {
  const char* name;
  const char* fallback;
};

Paint PaintOf(const Panel& panel, const Shade& shade) {
  switch (shade.kind) {
    case Shade::Kind::kScale:
      return panel.kind == Panel::Kind::kLatency ? Paint{"lat", "#f2b48a"}
                                                 : Paint{"tput", "#8fc7c0"};
    case Shade::Kind::kGood:
      return {"good", "#9bd3ae"};
    case Shade::Kind::kBad:
      return {"bad", "#e8a0b0"};
    case Shade::Kind::kNone:
      return {"none", "#eceef1"};
    case Shade::Kind::kUnknown:
      break;
  }
  return {"unknown", "none"};
}

std::string Text(double x, double y, std::string_view classes, std::string_view anchor,
                 std::string_view text) {
  return "<text x=\"" + FormatJsonNumber(x) + "\" y=\"" + FormatJsonNumber(y) + "\" class=\"" +
         std::string(classes) + "\" text-anchor=\"" + std::string(anchor) + "\">" + Escape(text) +
         "</text>";
}

// Everything the profile knows about a cell.
std::string Tooltip(const Panel& panel, const profile::GpuProfile& profile,
                    profile::ProfileCell cell, double value) {
  std::string text = "output " + std::to_string(profile.outputs.centres()[cell.output]) +
                     ", input " + std::to_string(profile.inputs.centres()[cell.input]) +
                     " tokens: ";
  text += std::isnan(value)                        ? "unknown"
          : panel.kind == Panel::Kind::kLatency    ? FormatDuration(value)
          : panel.kind == Panel::Kind::kThroughput ? FormatNumber(value) + " req/s"
                                                   : panel.Label(value) + " of the target left";
  const auto add = [&](const char* label, const std::optional<profile::BucketMatrix>& matrix) {
    if (matrix) text += label + FormatNumber(matrix->at(cell.output, cell.input));
  };
  add("; offered req/s: ", profile.detail.rates);
  add("; requests measured: ", profile.detail.samples);
  return text;
}

std::string HeatMap(const Panel& panel, const profile::GpuProfile& profile,
                    const profile::BucketMatrix& values) {
  const auto columns = static_cast<int>(values.inputs());
  const auto rows = static_cast<int>(values.outputs());
  const int width = kLeft + columns * kCellWidth;
  const int height = kTop + rows * kCellHeight + 2;
  std::string svg = "<svg width=\"" + std::to_string(width) + "\" height=\"" +
                    std::to_string(height) + "\" viewBox=\"0 0 " + std::to_string(width) + " " +
                    std::to_string(height) + "\" role=\"img\" aria-label=\"" +
                    Escape(panel.title + ": " + profile.deployment) + "\">";
  svg += Text(kLeft + columns * kCellWidth / 2.0, 12, "axis", "middle", "input tokens");
  svg += "<text class=\"axis\" text-anchor=\"middle\" transform=\"translate(12 " +
         std::to_string(kTop + rows * kCellHeight / 2) + ") rotate(-90)\">output tokens</text>";
  for (int column = 0; column < columns; ++column) {
    svg += Text(kLeft + (column + 0.5) * kCellWidth, kTop - 10, "axis", "middle",
                std::to_string(profile.inputs.centres()[column]));
  }
  for (int row = 0; row < rows; ++row) {
    const int y = kTop + row * kCellHeight;
    const double baseline = y + kCellHeight / 2.0 + 4;
    svg +=
        Text(kLeft - 10, baseline, "axis", "end", std::to_string(profile.outputs.centres()[row]));
    for (int column = 0; column < columns; ++column) {
      const profile::ProfileCell cell{static_cast<std::size_t>(row),
                                      static_cast<std::size_t>(column)};
      const double value = values.at(cell.output, cell.input);
      const Shade shade = panel.ShadeOf(value);
      const Paint paint = PaintOf(panel, shade);
      const int x = kLeft + column * kCellWidth;
      const bool plain = shade.kind == Shade::Kind::kNone || shade.kind == Shade::Kind::kUnknown;
      const char* tone = plain                       ? "dim"
                         : shade.strength >= kStrong ? "hi"
                         : shade.strength >= kMiddle ? "mid"
                                                     : "lo";
      svg += "<g><title>" + Escape(Tooltip(panel, profile, cell, value)) + "</title><rect x=\"" +
             std::to_string(x + 1) + "\" y=\"" + std::to_string(y + 1) + "\" width=\"" +
             std::to_string(kCellWidth - 2) + "\" height=\"" + std::to_string(kCellHeight - 2) +
             "\" rx=\"4\" class=\"" + paint.name + "\" fill=\"" + paint.fallback +
             "\" style=\"--t:" + std::to_string(std::lround(shade.strength * 100)) + "%\"/>" +
             Text(x + kCellWidth / 2.0, baseline, tone, "middle", panel.Label(value)) + "</g>";
    }
  }
  return svg + "</svg>";
}

std::string Legend(const Panel& panel) {
  const char* ramp = panel.kind == Panel::Kind::kLatency      ? "lat"
                     : panel.kind == Panel::Kind::kThroughput ? "tput"
                                                              : "head";
  const bool headroom = panel.kind == Panel::Kind::kHeadroom;
  const std::string least = headroom ? "−100 %" : panel.Label(panel.least);
  const std::string most = headroom ? "+100 %" : panel.Label(panel.most);
  return "<div class=\"legend\">" + least + "<i class=\"" + ramp + "\"></i>" + most +
         (headroom ? "" : " (logarithmic)") + "</div>";
}

std::string Summary(std::span<const ProfileView> views) {
  Table table{{{"Deployment"}, {"SLO"}, {"Cost"}, {"Created"}, {"Buckets"}, {"Findings"}, {"From"}},
              {}};
  for (const ProfileView& view : views) {
    const profile::GpuProfile& profile = view.profile;
    table.rows.push_back({profile.deployment, slo::DescribeWithPercentile(profile.slo),
                          FormatNumber(profile.cost), FormatDate(profile.created),
                          std::to_string(profile.outputs.size()) + " output × " +
                              std::to_string(profile.inputs.size()) + " input",
                          view.faults.empty() ? "none" : std::to_string(view.faults.size()),
                          view.origin});
  }
  return RenderHtml(table);
}

std::string Findings(std::span<const ProfileView> views) {
  std::string items;
  for (const ProfileView& view : views) {
    for (const profile::ProfileFault& fault : view.faults) {
      const char* kind =
          fault.severity == profile::ProfileFault::Severity::kError ? "error" : "warning";
      items += std::string("<li><b class=\"") + kind + "\">" + kind + "</b>" +
               Escape(fault.message) + "</li>";
    }
  }
  return items.empty() ? "" : "<h2>Findings</h2><ul>" + items + "</ul>";
}

}  // namespace

std::string RenderHtml(std::span<const ProfileView> views) {
  std::string body = Summary(views);
  for (const Panel& panel : MakePanels(views)) {
    body += "<section><h2>" + Escape(panel.title) + "</h2><p class=\"note\">" + Escape(panel.note) +
            "</p>" + Legend(panel) + "<div class=\"maps\">\n";
    for (std::size_t index = 0; index < views.size(); ++index) {
      const profile::GpuProfile& profile = views[index].profile;
      body += "<figure><figcaption>" + Escape(profile.deployment) + "</figcaption>";
      const std::optional<profile::BucketMatrix>& values = panel.values[index];
      body +=
          values ? HeatMap(panel, profile, *values) : "<p class=\"absent\">not in this profile</p>";
      body += "</figure>\n";
    }
    body += "</div></section>\n";
  }
  return RenderPage("GPU profiles", kStyle, body + Findings(views));
}

}  // namespace headrace::render
