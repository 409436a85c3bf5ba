#include "render/columns.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/text.h"
#include "render/table.h"

namespace headrace::render {
namespace {

constexpr std::array<std::string_view, 9> kEighths{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::size_t kLeast = 10;  // Columns, however narrow the terminal.

// At most `most` columns.
std::vector<double> ColumnsOf(std::span<const double> values, std::size_t most) {
  std::vector<double> columns;
  const std::size_t wide = std::max(most / values.size(), std::size_t{1});
  const std::size_t shared = (values.size() + most - 1) / most;
  for (std::size_t from = 0; from < values.size(); from += shared) {
    const auto part = values.subspan(from, std::min(shared, values.size() - from));
    const double mean = std::reduce(part.begin(), part.end()) / static_cast<double>(part.size());
    columns.insert(columns.end(), wide, mean);
  }
  return columns;
}

}  // namespace

std::string RenderText(const ColumnChart& chart, std::size_t width) {
  if (chart.values.empty()) return "";
  constexpr std::size_t kMargin = 8;  // For FormatNumber's three digits, and the axis.
  const std::vector<double> columns =
      ColumnsOf(chart.values, width > kMargin + kLeast ? width - kMargin : kLeast);
  const double highest = std::ranges::max(columns);
  const std::string top = FormatNumber(highest);
  std::string text;
  for (std::size_t line = chart.height; line-- > 0;) {
    std::string row = Pad(line + 1 == chart.height ? top
                          : line == 0              ? "0"
                                                   : "",
                          kMargin - 2, Align::kRight) +
                      " │";
    for (const double value : columns) {
      const double lines = highest > 0 ? value / highest * static_cast<double>(chart.height) : 0;
      const double part = std::clamp(lines - static_cast<double>(line), 0.0, 1.0);
      row += kEighths[static_cast<std::size_t>(std::lround(part * 8))];
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  text += std::string(kMargin - 1, ' ') + "└";
  for (std::size_t i = 0; i < columns.size(); ++i) text += "─";
  const std::size_t begin = DisplayWidth(chart.begin);
  const std::size_t end = DisplayWidth(chart.end);
  text += "\n" + std::string(kMargin, ' ') + std::string(chart.begin) +
          std::string(columns.size() > begin + end ? columns.size() - begin - end : 1, ' ') +
          std::string(chart.end) + "\n";
  return text;
}

}  // namespace headrace::render
