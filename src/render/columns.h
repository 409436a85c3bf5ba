// A chart of columns for a terminal.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace headrace::render {

struct ColumnChart {
  // 0 or more each. Where there are more than columns, equally many neighbours share one; where
  // there are fewer, each takes several.
  std::span<const double> values;
  std::string_view begin;  // Labels of the two ends of the axis below.
  std::string_view end;
  std::size_t height = 6;  // In lines, without the axis.
};

// As many lines as it is high, and two for the axis; none is wider than `width`. The highest value
// is written at the left.
std::string RenderText(const ColumnChart& chart, std::size_t width);

}  // namespace headrace::render
