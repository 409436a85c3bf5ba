#include "render/plot.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "render/escape.h"

namespace headrace::render {
namespace {

// Okabe and Ito's palette, which all kinds of colour vision can distinguish, then darker tones.
constexpr std::array<std::string_view, 12> kPalette{"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                    "#e69f00", "#56b4e9", "#555555", "#8c510a",
                                                    "#01665e", "#762a83", "#b2182b", "#a6a600"};
constexpr std::string_view kFont =
    "font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222\"";

// A coordinate.
std::string Fixed(double value) { return FormatFixed(value, 1); }

std::string_view ColourOf(std::size_t place) { return kPalette[place % kPalette.size()]; }

std::string Text(double x, double y, std::string_view anchor, std::string_view content,
                 std::string_view more = "") {
  return "<text x=\"" + Fixed(x) + "\" y=\"" + Fixed(y) + "\" text-anchor=\"" +
         std::string(anchor) + "\"" + std::string(more) + ">" + Escape(content) + "</text>\n";
}

std::string Open(double width, double height, const std::string& title) {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + Fixed(width) + " " +
         Fixed(height) + "\" width=\"" + Fixed(width) + "\" height=\"" + Fixed(height) +
         "\" role=\"img\" " + std::string(kFont) + ">\n<title>" + Escape(title) +
         "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n" +
         Text(12, 22, "start", title, " font-size=\"15\" font-weight=\"600\"");
}

// Multiples of 1, 2 or 5 times a power of ten, about `count` of them.
std::vector<double> Ticks(double low, double high, int count) {
  const double raw = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = power;
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    step = factor * power;
    if (step >= raw) break;
  }
  std::vector<double> ticks;
  const auto first = static_cast<long>(std::ceil(low / step - 1e-9));
  const auto last = static_cast<long>(std::floor(high / step + 1e-9));
  for (long i = first; i <= last; ++i) ticks.push_back(static_cast<double>(i) * step);
  return ticks;
}

class LinePlot {
 public:
  explicit LinePlot(const LineChart& chart) : chart_(chart) {}

  std::string Render() {
    svg_ = Open(Width(), kHeight, chart_.title);
    svg_ += "<clipPath id=\"c\"><rect x=\"" + Fixed(kLeft) + "\" y=\"" + Fixed(kTop) +
            "\" width=\"" + Fixed(kRight - kLeft) + "\" height=\"" + Fixed(kBottom - kTop) +
            "\"/></clipPath>\n";
    DrawAxes();
    svg_ += "<g clip-path=\"url(#c)\">\n";
    for (const Series& series : chart_.series) DrawBand(series);
    for (const Series& series : chart_.series) DrawLine(series);
    svg_ += "</g>\n";
    DrawLegend();
    return svg_ + "</svg>\n";
  }

 private:
  static constexpr double kLeastWidth = 760;
  static constexpr double kHeight = 400;
  static constexpr double kLeft = 60;
  static constexpr double kRight = 580;
  static constexpr double kTop = 40;
  static constexpr double kBottom = 350;
  static constexpr double kLegend = kRight + 46;  // Where its names begin.

  // With room for the longest name: a letter is at most about 7 wide.
  double Width() const {
    std::size_t longest = 0;
    for (const Series& series : chart_.series) longest = std::max(longest, series.name.size());
    return std::max(kLeastWidth, kLegend + 7 * static_cast<double>(longest) + 8);
  }
  double X(double x) const {
    return kLeft + (x - chart_.x_min) / (chart_.x_max - chart_.x_min) * (kRight - kLeft);
  }
  double Y(double y) const {
    return kBottom - (y - chart_.y_min) / (chart_.y_max - chart_.y_min) * (kBottom - kTop);
  }
  void Line(double x1, double y1, double x2, double y2, std::string_view style) {
    svg_ += "<line x1=\"" + Fixed(x1) + "\" y1=\"" + Fixed(y1) + "\" x2=\"" + Fixed(x2) +
            "\" y2=\"" + Fixed(y2) + "\" " + std::string(style) + "/>\n";
  }

  void DrawAxes() {
    for (const double y : Ticks(chart_.y_min, chart_.y_max, 5)) {
      Line(kLeft, Y(y), kRight, Y(y), "stroke=\"#e4e4e4\"");
      svg_ +=
          Text(kLeft - 8, Y(y) + 4, "end",
               chart_.percent ? FormatNumber(std::round(1e4 * y) / 100) + " %" : FormatNumber(y));
    }
    for (const double x : Ticks(chart_.x_min, chart_.x_max, 8)) {
      Line(X(x), kBottom, X(x), kBottom + 5, "stroke=\"#888\"");
      svg_ += Text(X(x), kBottom + 19, "middle", FormatNumber(x));
    }
    for (const double x : chart_.x_marks) {
      if (x < chart_.x_min || x > chart_.x_max) continue;
      Line(X(x), kTop, X(x), kBottom, "stroke=\"#999\" stroke-dasharray=\"2 3\"");
    }
    Line(kLeft, kBottom, kRight, kBottom, "stroke=\"#888\"");
    svg_ += Text((kLeft + kRight) / 2, kHeight - 10, "middle", chart_.x_label);
    svg_ += Text(0, 0, "middle", chart_.y_label,
                 " transform=\"translate(16 " + Fixed((kTop + kBottom) / 2) + ") rotate(-90)\"");
  }

  std::string PathOf(const std::vector<PlotPoint>& points) const {
    std::string path;
    for (const PlotPoint& point : points) {
      path += (path.empty() ? "" : " ") + Fixed(X(point.x)) + "," + Fixed(Y(point.y));
    }
    return path;
  }

  void DrawBand(const Series& series) {
    if (series.low.empty()) return;
    std::vector<PlotPoint> outline = series.low;
    outline.insert(outline.end(), series.high.rbegin(), series.high.rend());
    svg_ += "<polygon points=\"" + PathOf(outline) + "\" fill=\"" +
            std::string(ColourOf(series.colour)) + "\" fill-opacity=\"0.15\"/>\n";
  }

  void DrawLine(const Series& series) {
    svg_ += "<polyline points=\"" + PathOf(series.points) + "\" fill=\"none\" stroke=\"" +
            std::string(ColourOf(series.colour)) + "\" stroke-width=\"2\"" +
            (series.dashed ? " stroke-dasharray=\"6 4\"" : "") + "/>\n";
  }

  void DrawLegend() {
    double y = kTop + 8;
    for (const Series& series : chart_.series) {
      svg_ += "<line x1=\"" + Fixed(kRight + 14) + "\" y1=\"" + Fixed(y) + "\" x2=\"" +
              Fixed(kRight + 40) + "\" y2=\"" + Fixed(y) + "\" stroke=\"" +
              std::string(ColourOf(series.colour)) + "\" stroke-width=\"2.5\"" +
              (series.dashed ? " stroke-dasharray=\"6 4\"" : "") + "/>\n";
      svg_ += Text(kLegend, y + 4, "start", series.name);
      y += 20;
    }
  }

  const LineChart& chart_;
  std::string svg_;
};

}  // namespace

std::string RenderSvg(const LineChart& chart) { return LinePlot(chart).Render(); }

std::string RenderSvg(const PartsChart& chart) {
  constexpr double kWidth = 760;
  constexpr double kLeft = 210;
  constexpr double kRight = 740;
  constexpr double kRow = 22;
  constexpr double kTop = 62;
  const double height = kTop + kRow * static_cast<double>(chart.rows.size()) + 12;
  std::string svg = Open(kWidth, height, chart.title);
  double x = kLeft;
  for (std::size_t part = 0; part < chart.parts.size(); ++part) {
    svg += "<rect x=\"" + Fixed(x) + "\" y=\"36\" width=\"12\" height=\"12\" fill=\"" +
           std::string(ColourOf(part)) + "\"/>\n" + Text(x + 17, 46, "start", chart.parts[part]);
    x += 40 + 8 * static_cast<double>(chart.parts[part].size());
  }
  double y = kTop;
  std::string group;
  for (const PartsChart::Row& row : chart.rows) {
    if (row.group != group) svg += Text(12, y + 14, "start", row.group, " font-weight=\"600\"");
    group = row.group;
    svg += Text(kLeft - 8, y + 14, "end", row.name);
    double from = kLeft;
    for (std::size_t part = 0; part < row.parts.size(); ++part) {
      const double width = row.parts[part] * (kRight - kLeft);
      if (width > 0) {
        svg += "<rect x=\"" + Fixed(from) + "\" y=\"" + Fixed(y + 2) + "\" width=\"" +
               Fixed(width) + "\" height=\"" + Fixed(kRow - 5) + "\" fill=\"" +
               std::string(ColourOf(part)) + "\"/>\n";
      }
      if (width > 40) {
        svg += Text(from + width / 2, y + 14, "middle",
                    FormatNumber(std::round(1000 * row.parts[part]) / 10) + " %",
                    " style=\"fill:#fff\" font-size=\"11\"");
      }
      from += width;
    }
    svg += "<rect x=\"" + Fixed(kLeft) + "\" y=\"" + Fixed(y + 2) + "\" width=\"" +
           Fixed(kRight - kLeft) + "\" height=\"" + Fixed(kRow - 5) +
           "\" fill=\"none\" stroke=\"#bbb\"/>\n";
    y += kRow;
  }
  return svg + "</svg>\n";
}

}  // namespace headrace::render
