// What the columns of a file of requests mean, and their values. Of the readers in trace.h.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace headrace::workload {

enum class Field { kTime, kPromptTokens, kOutputTokens };
inline constexpr std::size_t kFields = 3;

struct NamedField {
  Field field = Field::kTime;
  std::optional<Seconds> unit;  // Of a time whose name tells it: `arrival_ms`.
};

// nullopt: another column. Neither case nor what separates the words matters.
std::optional<NamedField> FieldOf(std::string_view column);

// Which of a table's columns are its fields.
class FieldColumns {
 public:
  // Errors are clauses: a field that two columns may be.
  Result<void> Add(std::string_view column, std::size_t index);

  std::optional<std::size_t> IndexOf(Field field) const { return At(field).index; }
  const std::string& NameOf(Field field) const { return At(field).name; }
  std::optional<Seconds> time_unit() const { return time_unit_; }
  // An error, as a clause, unless there are lengths.
  Result<void> CheckLengths() const;

 private:
  struct Column {
    std::optional<std::size_t> index;
    std::string name;
  };
  const Column& At(Field field) const { return columns_[static_cast<std::size_t>(field)]; }

  std::array<Column, kFields> columns_;
  std::optional<Seconds> time_unit_;
};

// Reads the times of one column. Errors are clauses.
class TimeColumn {
 public:
  // `told`: by the name or the format. `asked`: by the user.
  TimeColumn(std::string name, std::optional<Seconds> told, std::optional<Seconds> asked)
      : name_(std::move(name)), told_(told), asked_(asked) {}

  // A date or a number.
  Result<Seconds> Read(std::string_view text);
  Result<Seconds> Read(double number) const;

 private:
  std::string name_;
  std::optional<Seconds> told_;
  std::optional<Seconds> asked_;
  std::optional<bool> zoned_;  // Whether the dates so far have a zone.
};

// A whole number of tokens, which Python may have written as `12.0`. Errors are clauses.
Result<Tokens> ReadTokens(std::string_view text);
Result<Tokens> ReadTokens(double number);

}  // namespace headrace::workload
