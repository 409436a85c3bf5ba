#include "render/terminal.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "base/control_character.h"
#include "base/text.h"

namespace headrace::render {
namespace {

constexpr std::string_view kGap = "  ";

std::string_view CodeOf(Ink ink) {
  switch (ink) {
    case Ink::kPlain:
      return "";
    case Ink::kStrong:
      return "\x1b[1m";
    case Ink::kQuiet:
      return "\x1b[2m";
    case Ink::kGood:
      return "\x1b[32m";
    case Ink::kWarning:
      return "\x1b[33m";
    case Ink::kBad:
      return "\x1b[31m";
  }
  return "";
}

// How wide the columns in use are at least, with the gaps between them.
std::size_t LeastWidth(const FittedTable& table, const std::vector<std::size_t>& widths,
                       const std::vector<std::size_t>& used) {
  std::size_t width = used.empty() ? 0 : (used.size() - 1) * kGap.size();
  for (const std::size_t i : used) {
    const std::size_t least = table.columns[i].least;
    width += least > 0 ? std::min(widths[i], least) : widths[i];
  }
  return width;
}

// Takes `excess` columns from those that may be cut, the longest first.
void Shorten(const FittedTable& table, const std::vector<std::size_t>& used, std::size_t excess,
             std::vector<std::size_t>& widths) {
  for (; excess > 0; --excess) {
    std::size_t* longest = nullptr;
    for (const std::size_t i : used) {
      const std::size_t least = table.columns[i].least;
      if (least == 0 || widths[i] <= least) continue;
      if (longest == nullptr || widths[i] > *longest) longest = &widths[i];
    }
    if (longest == nullptr) return;
    --*longest;
  }
}

}  // namespace

std::string Paint(std::string_view text, Ink ink, const TextStyle& style) {
  if (!style.color || ink == Ink::kPlain || text.empty()) return std::string(text);
  return std::string(CodeOf(ink)) + std::string(text) + "\x1b[0m";
}

std::string Printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    if (length == 0 || IsControl(text.substr(0, length))) {
      shown += '?';
    } else {
      shown += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return shown;
}

std::vector<std::string> Wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  for (text = Trimmed(text); !text.empty(); text = Trimmed(text)) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string word = Cut(text.substr(0, end), width);
    if (!lines.empty() && DisplayWidth(lines.back()) + 1 + DisplayWidth(word) <= width) {
      lines.back() += " " + word;
    } else {
      lines.push_back(word);
    }
    text.remove_prefix(end);
  }
  return lines;
}

std::string ClockTime(Seconds unix_time) {
  constexpr std::int64_t kDay = 86400;
  if (!(std::abs(unix_time) < 1e15)) return "–";
  const std::int64_t seconds =
      (static_cast<std::int64_t>(std::floor(unix_time)) % kDay + kDay) % kDay;
  std::array<char, 16> buffer{};
  const int length = std::snprintf(
      buffer.data(), buffer.size(), "%02d:%02d:%02d", static_cast<int>(seconds / 3600),
      static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60));
  return {buffer.data(), static_cast<std::size_t>(length)};
}

std::vector<std::string> RenderLines(const FittedTable& table, const TextStyle& style) {
  std::vector<std::size_t> widths;
  std::vector<std::size_t> used;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    std::size_t width = DisplayWidth(table.columns[i].title);
    bool empty = !table.rows.empty();
    for (const auto& row : table.rows) {
      if (i >= row.size()) continue;
      width = std::max(width, DisplayWidth(row[i].text));
      empty = empty && row[i].text.empty();
    }
    widths.push_back(width);
    if (!empty) used.push_back(i);
  }
  while (LeastWidth(table, widths, used) > style.width) {
    const auto last =
        std::ranges::max_element(used, {}, [&](std::size_t i) { return table.columns[i].rank; });
    if (last == used.end() || table.columns[*last].rank == 0) break;
    used.erase(last);
  }
  std::size_t all = used.empty() ? 0 : (used.size() - 1) * kGap.size();
  for (const std::size_t i : used) all += widths[i];
  if (all > style.width) Shorten(table, used, all - style.width, widths);

  std::vector<std::string> lines;
  const auto add_line = [&](auto cell_of) {
    std::string line;
    for (const std::size_t i : used) {
      const FittedTable::Cell cell = cell_of(i);
      const std::string text = Cut(cell.text, widths[i]);
      const bool last = i == used.back() && table.columns[i].align == Align::kLeft;
      if (i != used.front()) line += kGap;
      // The blanks that fill it up have no colour.
      const std::string blanks(last ? 0 : widths[i] - DisplayWidth(text), ' ');
      const std::string painted = Paint(text, cell.ink, style);
      line += table.columns[i].align == Align::kLeft ? painted + blanks : blanks + painted;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  };
  add_line([&](std::size_t i) { return FittedTable::Cell{table.columns[i].title, Ink::kQuiet}; });
  for (const auto& row : table.rows) {
    add_line([&](std::size_t i) { return i < row.size() ? row[i] : FittedTable::Cell(); });
  }
  return lines;
}

}  // namespace headrace::render
