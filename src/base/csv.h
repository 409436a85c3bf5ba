// Lines of comma-separated numbers, as traces and length files have them: no quotes, no escapes.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace headrace {

// Walks over a text's lines; every error begins with `name:line`. Blank lines are skipped, CRLF and
// a byte order mark are understood. The text must outlive the reader.
class CsvReader {
 public:
  CsvReader(std::string_view text, std::string_view name);

  // The first line must name exactly these columns.
  Result<void> ReadHeader(std::initializer_list<std::string_view> columns);
  // False at the end of the text.
  bool NextRow();

  // A cell of the row; an error when the row is too short.
  Result<std::string_view> At(std::size_t column) const;
  // A whole number of tokens, 0 or more.
  Result<Tokens> TokensAt(std::size_t column) const;
  // An error about the row.
  tl::unexpected<Error> FailHere(const std::string& what) const;

 private:
  std::string_view rest_;
  std::string_view name_;
  std::size_t line_ = 0;
  std::vector<std::string_view> cells_;
};

}  // namespace headrace
