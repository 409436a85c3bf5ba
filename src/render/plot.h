// Charts as self-contained SVG.
#pragma once

#include <string>
#include <vector>

namespace headrace::render {

struct PlotPoint {
  double x = 0;
  double y = 0;
};

struct Series {
  std::string name;
  std::vector<PlotPoint> points;
  // Lower and upper edge of a band around the line, by point; empty = none.
  std::vector<PlotPoint> low;
  std::vector<PlotPoint> high;
  std::size_t colour = 0;  // An index of the palette, which repeats.
  bool dashed = false;
};

struct LineChart {
  std::string title;
  std::string x_label;
  std::string y_label;
  double x_min = 0;
  double x_max = 1;
  double y_min = 0;
  double y_max = 1;
  bool percent = false;         // y values are shares and are labelled in %.
  std::vector<double> x_marks;  // Vertical lines, such as an SLO.
  std::vector<Series> series;
};

// Lines are clipped at the chart's edges. The legend is on the right, in the order of the series.
std::string RenderSvg(const LineChart& chart);

// One bar per row, divided into parts of a whole; the rest up to 1 stays blank.
struct PartsChart {
  struct Row {
    std::string group;  // Written where it changes.
    std::string name;
    std::vector<double> parts;
  };
  std::string title;
  std::vector<std::string> parts;
  std::vector<Row> rows;
};
std::string RenderSvg(const PartsChart& chart);

}  // namespace headrace::render
