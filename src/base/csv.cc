#include "base/csv.h"

#include <charconv>

namespace headrace {

CsvReader::CsvReader(std::string_view text, std::string_view name) : rest_(text), name_(name) {
  if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
}

bool CsvReader::NextRow() {
  while (!rest_.empty()) {
    ++line_;
    const std::size_t end = rest_.find('\n');
    std::string_view row = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty()) continue;
    cells_.clear();
    for (;;) {
      const std::size_t comma = row.find(',');
      cells_.push_back(row.substr(0, comma));
      if (comma == std::string_view::npos) return true;
      row.remove_prefix(comma + 1);
    }
  }
  return false;
}

Result<void> CsvReader::ReadHeader(std::initializer_list<std::string_view> columns) {
  std::string expected;
  for (const std::string_view column : columns) {
    expected += (expected.empty() ? "" : ",") + std::string(column);
  }
  if (!NextRow()) {
    return Fail(std::string(name_) + ": the file is empty; its first line must be \"" + expected +
                "\"");
  }
  if (cells_ != std::vector<std::string_view>(columns)) {
    return FailHere("the first line must be \"" + expected + "\"");
  }
  return {};
}

Result<std::string_view> CsvReader::At(std::size_t column) const {
  if (column < cells_.size()) return cells_[column];
  return FailHere("the row has " + std::to_string(cells_.size()) + " cells; at least " +
                  std::to_string(column + 1) + " are needed");
}

Result<Tokens> CsvReader::TokensAt(std::size_t column) const {
  const auto cell = At(column);
  if (!cell) return tl::unexpected(cell.error());
  Tokens tokens = 0;
  const char* end = cell->data() + cell->size();
  const auto [stop, fault] = std::from_chars(cell->data(), end, tokens);
  if (fault != std::errc{} || stop != end || tokens < 0) {
    return FailHere("\"" + std::string(*cell) + "\" is no number of tokens; write a whole number");
  }
  return tokens;
}

tl::unexpected<Error> CsvReader::FailHere(const std::string& what) const {
  return Fail(std::string(name_) + ":" + std::to_string(line_) + ": " + what);
}

}  // namespace headrace
