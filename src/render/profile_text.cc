#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "base/text.h"
#include "render/heat_map.h"
#include "render/profile_view.h"
#include "render/table.h"
#include "slo/slo_text.h"

namespace headrace::render {
namespace {

constexpr std::size_t kCellWidth = 8;
constexpr std::string_view kGap = "   ";

// Indexes of the 256-colour palette, from low to high; the text on them is black or white.
constexpr std::array<int, 8> kThroughputRamp = {23, 29, 30, 36, 72, 79, 115, 158};
constexpr std::array<int, 8> kLatencyRamp = {230, 223, 216, 209, 173, 167, 131, 88};
constexpr std::array<int, 4> kGoodRamp = {194, 157, 113, 71};
constexpr std::array<int, 4> kBadRamp = {224, 217, 203, 160};

template <std::size_t kSize>
int Pick(const std::array<int, kSize>& ramp, double strength) {
  return ramp[std::min(kSize - 1, static_cast<std::size_t>(strength * kSize))];
}

int Background(const Panel& panel, const Shade& shade) {
  switch (shade.kind) {
    case Shade::Kind::kScale:
      return panel.kind == Panel::Kind::kLatency ? Pick(kLatencyRamp, shade.strength)
                                                 : Pick(kThroughputRamp, shade.strength);
    case Shade::Kind::kGood:
      return Pick(kGoodRamp, shade.strength);
    case Shade::Kind::kBad:
      return Pick(kBadRamp, shade.strength);
    case Shade::Kind::kUnknown:
    case Shade::Kind::kNone:
      break;
  }
  return 236;
}

// From the palette's 6×6×6 cube: 16 + 36·red + 6·green + blue, levels 0, 95, 135, 175, 215, 255.
bool NeedsWhiteText(int background) {
  if (background >= 232) return background < 244;  // Greys.
  const auto level = [](int step) { return step == 0 ? 0 : 55 + 40 * step; };
  const int cube = background - 16;
  const double luminance =
      0.299 * level(cube / 36) + 0.587 * level(cube / 6 % 6) + 0.114 * level(cube % 6);
  return luminance < 125;
}

// Labels have at most seven columns (Panel::Label).
std::string PadCell(const std::string& label) {
  return Pad(label + " ", kCellWidth, Align::kRight);
}

class TextRenderer {
 public:
  TextRenderer(std::span<const ProfileView> views, const TextStyle& style)
      : views_(views), style_(style) {}

  std::string Render() {
    for (const ProfileView& view : views_) Header(view);
    for (const Panel& panel : MakePanels(views_)) {
      out_ += "\n" + Bold(panel.title) + "\n" + Dim(panel.note) + "\n";
      for (std::size_t first = 0; first < views_.size();) first = Tables(panel, first);
    }
    for (const ProfileView& view : views_) Faults(view);
    return std::move(out_);
  }

 private:
  std::string Code(const char* code, const std::string& text) const {
    return style_.color ? std::string("\x1b[") + code + "m" + text + "\x1b[0m" : text;
  }
  std::string Bold(const std::string& text) const { return Code("1", text); }
  std::string Dim(const std::string& text) const { return Code("2", text); }

  void Header(const ProfileView& view) {
    const profile::GpuProfile& profile = view.profile;
    out_ += Bold(profile.deployment) + "  cost " + FormatNumber(profile.cost) + "  SLO " +
            slo::DescribeWithPercentile(profile.slo) + "  created " + FormatDate(profile.created) +
            "  " + Dim(view.origin) + "\n";
  }

  // The lines of one table, all of the same width.
  std::vector<std::string> Table(const Panel& panel, std::size_t index) const {
    const profile::GpuProfile& profile = views_[index].profile;
    const std::optional<profile::BucketMatrix>& values = panel.values[index];
    const std::size_t width = TableWidth(index);
    std::vector<std::string> lines;
    if (views_.size() > 1) lines.push_back(Pad(profile.deployment, width, Align::kLeft));
    if (!values) {
      lines.push_back(Pad("  not in this profile", width, Align::kLeft));
      return lines;
    }
    std::string head = PadCell("out \\ in");
    for (const Tokens input : profile.inputs.centres()) {
      head += PadCell(std::to_string(input));
    }
    lines.push_back(Dim(head));
    for (std::size_t output = 0; output < values->outputs(); ++output) {
      std::string line = Dim(PadCell(std::to_string(profile.outputs.centres()[output])));
      for (std::size_t input = 0; input < values->inputs(); ++input) {
        line += Cell(panel, values->at(output, input));
      }
      lines.push_back(line);
    }
    return lines;
  }

  std::string Cell(const Panel& panel, double value) const {
    std::string text = PadCell(panel.Label(value));
    if (!style_.color) return text;
    const int background = Background(panel, panel.ShadeOf(value));
    return "\x1b[48;5;" + std::to_string(background) + ";38;5;" +
           (NeedsWhiteText(background) ? "255" : "16") + "m" + text + "\x1b[0m";
  }

  std::size_t TableWidth(std::size_t index) const {
    const profile::GpuProfile& profile = views_[index].profile;
    return std::max((profile.inputs.size() + 1) * kCellWidth, DisplayWidth(profile.deployment));
  }

  // Prints as many tables side by side as fit, from `first` on; returns the index after them.
  std::size_t Tables(const Panel& panel, std::size_t first) {
    std::vector<std::vector<std::string>> tables;
    std::size_t used = 0;
    std::size_t next = first;
    std::size_t height = 0;
    while (next < views_.size() && (next == first || used + TableWidth(next) <= style_.width)) {
      used += TableWidth(next) + kGap.size();
      tables.push_back(Table(panel, next++));
      height = std::max(height, tables.back().size());
    }
    for (std::size_t row = 0; row < height; ++row) {
      std::string line;
      for (std::size_t table = 0; table < tables.size(); ++table) {
        if (table > 0) line += kGap;
        line += row < tables[table].size() ? tables[table][row]
                                           : std::string(TableWidth(first + table), ' ');
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out_ += line + "\n";
    }
    return next;
  }

  void Faults(const ProfileView& view) {
    if (view.faults.empty()) return;
    out_ += "\n" + Bold("Findings: " + view.profile.deployment) + "\n";
    for (const profile::ProfileFault& fault : view.faults) {
      const bool error = fault.severity == profile::ProfileFault::Severity::kError;
      out_ += (error ? Code("31", "error  ") : Code("33", "warning")) + " " + fault.message + "\n";
    }
  }

  std::span<const ProfileView> views_;
  TextStyle style_;
  std::string out_;
};

std::string AgeText(Seconds created, Seconds now) {
  if (created == 0) return "unknown";
  const double days = std::floor((now - created) / 86400);
  return days < 1 ? "today" : FormatNumber(days) + " d";
}

std::string UsableCells(const profile::BucketMatrix& tput) {
  std::size_t usable = 0;
  for (std::size_t output = 0; output < tput.outputs(); ++output) {
    for (std::size_t input = 0; input < tput.inputs(); ++input)
      usable += tput.at(output, input) > 0;
  }
  return std::to_string(usable) + "/" + std::to_string(tput.outputs() * tput.inputs());
}

}  // namespace

std::string RenderList(std::span<const ProfileView> views, Seconds now) {
  const bool models =
      std::ranges::any_of(views, [](const auto& view) { return !view.model.empty(); });
  Table table;
  if (models) table.columns.push_back({"MODEL"});
  for (const char* title : {"DEPLOYMENT", "COST", "AGE", "SLO", "CELLS", "FAULTS", "FROM"}) {
    table.columns.push_back({title});
  }
  for (const ProfileView& view : views) {
    const profile::GpuProfile& profile = view.profile;
    std::vector<std::string>& row = table.rows.emplace_back();
    if (models) row.push_back(view.model.empty() ? "-" : view.model);
    row.insert(row.end(),
               {profile.deployment, FormatNumber(profile.cost), AgeText(profile.created, now),
                slo::DescribeWithPercentile(profile.slo), UsableCells(profile.tput),
                std::to_string(view.faults.size()), view.origin});
  }
  return RenderText(table);
}

std::string RenderText(std::span<const ProfileView> views, const TextStyle& style) {
  return TextRenderer(views, style).Render();
}

}  // namespace headrace::render
