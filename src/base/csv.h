// The one way to read and write comma-separated values (RFC 4180).
#pragma once

#include <forward_list>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace headrace {

// Reads a text row by row; every error begins with `name:line`. A cell may be in double quotes:
// then it may hold commas, line breaks, and quotes written twice. Blanks around a cell and blank
// lines are skipped; CRLF and a byte order mark are understood. A last line that breaks off,
// because its writer was stopped, is left out: one without a line end that has fewer cells than the
// first row, or a quote that is open. The text must outlive the reader.
class CsvReader {
 public:
  CsvReader(std::string_view text, std::string_view name);

  // The first line must name exactly these columns.
  Result<void> ReadHeader(std::initializer_list<std::string_view> columns);
  // False at the end of the text. An error: a quote that is never closed, which would take the rest
  // of the rows for one cell.
  Result<bool> NextRow();
  // At the end of the text: the line that breaks off; 0: none.
  std::size_t broken_line() const { return broken_line_; }
  // The row is the last one, and has no line end: it may break off within its last cell.
  bool is_open() const { return is_open_; }
  std::size_t line() const { return line_; }

  // The row's cells; valid until the next row.
  std::span<const std::string_view> cells() const { return cells_; }
  // A cell of the row; an error if the row is too short.
  Result<std::string_view> At(std::size_t column) const;
  // A whole number of tokens, 0 or more.
  Result<Tokens> TokensAt(std::size_t column) const;
  // An error about the row.
  tl::unexpected<Error> FailHere(const std::string& what) const;

 private:
  // Takes the next cell off the text, up to the comma or line break behind it.
  std::string_view NextCell();
  std::string_view NextQuotedCell();

  std::string_view rest_;
  std::string_view name_;
  std::size_t line_ = 0;        // Of the row.
  std::size_t next_line_ = 1;   // Of `rest_`.
  std::size_t open_quote_ = 0;  // The line of a quote that is never closed; 0: none.
  std::size_t columns_ = 0;     // Of the first row; 0: it has not come.
  std::size_t broken_line_ = 0;
  bool is_open_ = false;
  std::vector<std::string_view> cells_;
  std::forward_list<std::string> unquoted_;  // The row's cells that had quotes written twice.
};

// `text` as a cell: in quotes if it has to be.
std::string CsvCell(std::string_view text);

}  // namespace headrace
