// One table, as text for a terminal, as Markdown and as HTML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace headrace::render {

enum class Align { kLeft, kRight };

struct Table {
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  std::vector<Column> columns;
  // Plain text, a cell per column; a row may end early.
  std::vector<std::vector<std::string>> rows;
};

// A line per row. Every column is as wide as its widest cell, two spaces apart; no line ends with
// spaces.
std::string RenderText(const Table& table);
// All columns are aligned to the left, as Markdown does by default.
std::string RenderMarkdown(const Table& table);
// Cells of columns aligned to the right have the class "number".
std::string RenderHtml(const Table& table);

// Columns that UTF-8 text takes on a terminal: 2 for East Asian wide characters and emoji, 0 for
// combining marks and joiners.
std::size_t DisplayWidth(std::string_view text);
// Cut to at most `width` columns, with an ellipsis for what is missing.
std::string Cut(std::string_view text, std::size_t width);
// Filled up with spaces to `width` columns; longer text is unchanged.
std::string Pad(std::string_view text, std::size_t width, Align align);

}  // namespace headrace::render
