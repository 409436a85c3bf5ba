// Text for a terminal of a certain width, with or without colours.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "render/table.h"

namespace headrace::render {

struct TextStyle {
  bool color = false;       // ANSI colours.
  std::size_t width = 100;  // Columns of the terminal.
  std::size_t height = 0;   // Lines of it; 0: no matter.
};

enum class Ink { kPlain, kStrong, kQuiet, kGood, kWarning, kBad };
std::string Paint(std::string_view text, Ink ink, const TextStyle& style);

// As a terminal may get what others wrote: "?" for each control character and each byte that is not
// UTF-8.
std::string Printable(std::string_view text);
// Lines of at most so many columns, broken at blanks; words that are longer are cut.
std::vector<std::string> Wrap(std::string_view text, std::size_t width);
// "18:21:05", of UTC.
std::string ClockTime(Seconds unix_time);

// A table that is made to fit: cells are cut and columns left out where the width asks for it.
struct FittedTable {
  struct Column {
    std::string title;
    Align align = Align::kLeft;
    int rank = 0;           // Left out first: the highest; 0: never.
    std::size_t least = 0;  // Its cells may be cut to so many columns; 0: they may not.
  };
  struct Cell {
    std::string text;
    Ink ink = Ink::kPlain;
  };
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
};
// The title, then a line per row.
std::vector<std::string> RenderLines(const FittedTable& table, const TextStyle& style);

}  // namespace headrace::render
