#include "base/csv.h"

#include <algorithm>
#include <charconv>

#include "base/limits.h"
#include "base/text.h"

namespace headrace {
namespace {

constexpr std::string_view kBlank = " \t\r";

}  // namespace

CsvReader::CsvReader(std::string_view text, std::string_view name) : rest_(text), name_(name) {
  if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
}

Result<bool> CsvReader::NextRow() {
  while (!rest_.empty()) {
    line_ = next_line_;
    is_open_ = rest_.find('\n') == rest_.npos;
    cells_.clear();
    unquoted_.clear();
    for (bool more = true; more;) {
      cells_.push_back(NextCell());
      more = rest_.starts_with(',');
      if (!rest_.empty()) rest_.remove_prefix(1);
    }
    ++next_line_;
    if (cells_.size() == 1 && cells_.front().empty() && open_quote_ == 0) continue;
    if (is_open_ && columns_ > 0 && (open_quote_ > 0 || cells_.size() < columns_)) {
      broken_line_ = line_;
      return false;
    }
    if (open_quote_ > 0) {
      line_ = open_quote_;
      return FailHere("the quote before \"" + Excerpt(Trimmed(cells_.back(), kBlank)) +
                      "\" is never closed; close it, or write it twice within quotes");
    }
    if (columns_ == 0) columns_ = cells_.size();
    return true;
  }
  return false;
}

std::string_view CsvReader::NextCell() {
  const std::size_t begin = rest_.find_first_not_of(kBlank);
  if (begin != std::string_view::npos && rest_[begin] == '"') {
    rest_.remove_prefix(begin + 1);
    return NextQuotedCell();
  }
  const std::string_view cell = rest_.substr(0, rest_.find_first_of(",\n"));
  rest_.remove_prefix(cell.size());
  return Trimmed(cell, kBlank);
}

// `rest_` begins behind the opening quote.
std::string_view CsvReader::NextQuotedCell() {
  const std::size_t line = next_line_;
  std::size_t end = rest_.find('"');
  bool doubled = false;
  while (end != std::string_view::npos && rest_.substr(end + 1).starts_with('"')) {
    doubled = true;
    end = rest_.find('"', end + 2);
  }
  if (end == std::string_view::npos) open_quote_ = line;
  std::string_view cell = rest_.substr(0, end);
  rest_.remove_prefix(cell.size());
  next_line_ += static_cast<std::size_t>(std::ranges::count(cell, '\n'));
  // Nothing but blanks may follow the closing quote.
  rest_.remove_prefix(std::min(rest_.find_first_of(",\n"), rest_.size()));
  if (!doubled) return cell;
  std::string text;
  for (std::size_t i = 0; i < cell.size(); ++i) {
    text += cell[i];
    if (cell[i] == '"') ++i;
  }
  return unquoted_.emplace_front(std::move(text));
}

Result<void> CsvReader::ReadHeader(std::initializer_list<std::string_view> columns) {
  std::string expected;
  for (const std::string_view column : columns) {
    expected += (expected.empty() ? "" : ",") + std::string(column);
  }
  HEADRACE_ASSIGN(const bool found, NextRow());
  if (!found) {
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
  HEADRACE_ASSIGN(const std::string_view cell, At(column));
  Tokens tokens = 0;
  const char* end = cell.data() + cell.size();
  const auto [stop, fault] = std::from_chars(cell.data(), end, tokens);
  if (fault != std::errc{} || stop != end || tokens < 0) {
    return FailHere("\"" + std::string(cell) +
                    "\" is not a number of tokens; write a whole number");
  }
  if (tokens > limits::kMostTokens) {
    return FailHere("\"" + std::string(cell) + "\" tokens are more than any request has; " +
                    std::to_string(limits::kMostTokens) + " are allowed");
  }
  return tokens;
}

tl::unexpected<Error> CsvReader::FailHere(const std::string& what) const {
  return Fail(std::string(name_) + ":" + std::to_string(line_) + ": " + what);
}

std::string CsvCell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == text.npos && Trimmed(text) == text) {
    return std::string(text);
  }
  std::string cell = "\"";
  for (const char c : text) cell.append(c == '"' ? 2 : 1, c);
  return cell + "\"";
}

}  // namespace headrace
