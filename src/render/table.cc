#include "render/table.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "render/escape.h"

namespace headrace::render {
namespace {

constexpr std::size_t kGap = 2;

struct Range {
  char32_t first, last;
};
// The blocks that occur in names. Unicode's own tables (EastAsianWidth.txt) are far longer.
constexpr std::array<Range, 4> kNoWidth{{
    {0x0300, 0x036F},  // Combining marks.
    {0x200B, 0x200F},  // Zero-width spaces and joiners, direction marks.
    {0x20D0, 0x20FF},  // Combining marks for symbols.
    {0xFE00, 0xFE0F},  // Variation selectors.
}};
constexpr std::array<Range, 7> kWide{{
    {0x1100, 0x115F},    // Hangul Jamo.
    {0x2E80, 0xA4CF},    // CJK, Hiragana, Katakana, Yi.
    {0xAC00, 0xD7A3},    // Hangul syllables.
    {0xF900, 0xFAFF},    // CJK compatibility ideographs.
    {0xFF00, 0xFF60},    // Full-width forms.
    {0x1F300, 0x1FAFF},  // Emoji.
    {0x20000, 0x3FFFD},  // CJK extensions.
}};

bool Contains(auto& ranges, char32_t code) {
  return std::ranges::any_of(
      ranges, [code](const Range& range) { return range.first <= code && code <= range.last; });
}

std::size_t WidthOf(char32_t code) {
  if (Contains(kNoWidth, code)) return 0;
  return Contains(kWide, code) ? 2 : 1;
}

bool IsContinuation(char c) { return (c & 0xC0) == 0x80; }

// Takes the first character off a text that is not empty; its columns.
std::size_t TakeCharacter(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text.front());
  char32_t code = lead;
  if (lead >= 0xF0) {
    code = lead & 0x07;
  } else if (lead >= 0xE0) {
    code = lead & 0x0F;
  } else if (lead >= 0xC0) {
    code = lead & 0x1F;
  }
  std::size_t length = 1;
  for (; lead >= 0xC0 && length < text.size() && IsContinuation(text[length]); ++length) {
    code = code << 6 | (static_cast<unsigned char>(text[length]) & 0x3F);
  }
  text.remove_prefix(length);
  return WidthOf(code);
}

// The cell of a row that may end early.
std::string_view CellOf(const std::vector<std::string>& row, std::size_t column) {
  return column < row.size() ? std::string_view(row[column]) : std::string_view();
}

}  // namespace

std::size_t DisplayWidth(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) width += TakeCharacter(text);
  return width;
}

std::string Cut(std::string_view text, std::size_t width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width == 0) return "";
  std::string_view rest = text;
  std::size_t fitting = 0;  // Bytes.
  for (std::size_t taken = 0;;) {
    taken += TakeCharacter(rest);
    if (taken > width - 1) break;
    fitting = text.size() - rest.size();
  }
  return std::string(text.substr(0, fitting)) + "…";
}

std::string Pad(std::string_view text, std::size_t width, Align align) {
  const std::size_t taken = DisplayWidth(text);
  const std::string spaces(taken < width ? width - taken : 0, ' ');
  return align == Align::kLeft ? std::string(text) + spaces : spaces + std::string(text);
}

std::string RenderText(const Table& table) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    std::size_t width = DisplayWidth(table.columns[i].title);
    for (const auto& row : table.rows) width = std::max(width, DisplayWidth(CellOf(row, i)));
    widths.push_back(width);
  }
  std::string text;
  const auto add_line = [&](auto cell_of) {
    std::string line;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (i > 0) line.append(kGap, ' ');
      line += Pad(cell_of(i), widths[i], table.columns[i].align);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add_line([&](std::size_t i) { return std::string_view(table.columns[i].title); });
  for (const auto& row : table.rows) add_line([&](std::size_t i) { return CellOf(row, i); });
  return text;
}

std::string RenderMarkdown(const Table& table) {
  std::string text = "|";
  for (const Table::Column& column : table.columns) {
    text += column.title.empty() ? " |" : " " + column.title + " |";
  }
  text += "\n|";
  for (std::size_t i = 0; i < table.columns.size(); ++i) text += "---|";
  text += "\n";
  for (const auto& row : table.rows) {
    text += "|";
    for (const std::string& cell : row) text += " " + cell + " |";
    text += "\n";
  }
  return text;
}

std::string RenderHtml(const Table& table) {
  const auto cell = [&](std::size_t column, const std::string& tag, std::string_view content) {
    const bool number = table.columns[column].align == Align::kRight;
    return "<" + tag + (number ? " class=\"number\">" : ">") + Escape(content) + "</" + tag + ">";
  };
  std::string html = "<table><thead><tr>";
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    html += cell(i, "th", table.columns[i].title);
  }
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (std::size_t i = 0; i < table.columns.size(); ++i) html += cell(i, "td", CellOf(row, i));
    html += "</tr>\n";
  }
  return html + "</tbody></table>\n";
}

}  // namespace headrace::render
