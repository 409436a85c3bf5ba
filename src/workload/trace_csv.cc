#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/csv.h"
#include "base/text.h"
#include "workload/request_rows.h"
#include "workload/trace_fields.h"

namespace headrace::workload {
namespace {

using Cells = std::span<const std::string_view>;

// Whose file has these columns; `time_unit` is that of its times if they are numbers.
struct Format {
  std::string_view name = "CSV";
  std::string_view time;
  std::string_view prompt;
  std::string_view output;
  std::optional<Seconds> time_unit;
  // What tells its runs apart, whose times begin anew, and how to get a file of one run.
  std::vector<std::string_view> runs;
  std::string_view one_run;
  std::string_view outcome;  // Of a request without output tokens, other than "completed".
};

const std::vector<Format>& Formats() {
  static const std::vector<Format> formats{
      {.name = "Azure's CSV",
       .time = "TIMESTAMP",
       .prompt = "ContextTokens",
       .output = "GeneratedTokens"},
      {.name = "BurstGPT's CSV",
       .time = "Timestamp",
       .prompt = "Request tokens",
       .output = "Response tokens",
       .time_unit = 1},
      {.name = "the requests of `headrace simulate`",
       .time = "arrived_s",
       .prompt = "prompt_tokens",
       .output = "output_tokens",
       .runs = {"policy", "rate", "seed"},
       .one_run = "simulate with one --policy, one --rate-scale and --seeds 1"},
      {.name = "the rows of `headrace load`",
       .time = "at_s",
       .prompt = "prompt_tokens",
       .output = "output_tokens",
       .runs = {"stage"},
       .one_run = "load with one stage",
       .outcome = "outcome"}};
  return formats;
}

Format FormatOf(const FieldColumns& columns, Cells header) {
  for (const Format& format : Formats()) {
    if (columns.NameOf(Field::kTime) == format.time &&
        columns.NameOf(Field::kPromptTokens) == format.prompt &&
        columns.NameOf(Field::kOutputTokens) == format.output &&
        std::ranges::all_of(format.runs, [header](std::string_view column) {
          return std::ranges::find(header, column) != header.end();
        })) {
      return format;
    }
  }
  return {};
}

std::size_t PlaceOf(std::string_view column, Cells header) {
  return static_cast<std::size_t>(std::ranges::find(header, column) - header.begin());
}

// Refuses the rows of a second run: their requests did not come among those of the first.
class OneRun {
 public:
  OneRun(const Format& format, Cells header) : one_run_(format.one_run) {
    for (const std::string_view column : format.runs) {
      places_.push_back(PlaceOf(column, header));
      names_.emplace_back(column);
    }
  }

  // Errors are clauses.
  Result<void> Check(Cells row) {
    std::string run;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      const std::string_view cell = places_[i] < row.size() ? row[places_[i]] : "";
      run += (i > 0 ? ", " : "") + names_[i] + " " + Excerpt(cell);
    }
    if (!first_) first_ = run;
    if (run == *first_) return {};
    return Fail("the row is of another run (" + run + ") than those above (" + *first_ +
                "); keep the rows of one, or " + std::string(one_run_));
  }

 private:
  std::vector<std::size_t> places_;
  std::vector<std::string> names_;
  std::string_view one_run_;
  std::optional<std::string> first_;
};

// Reads the rows below a header.
class RowReader {
 public:
  RowReader(const FieldColumns& columns, const Format& format, Cells header,
            std::optional<Seconds> asked_unit)
      : format_(format.name),
        one_run_(format, header),
        time_(columns.IndexOf(Field::kTime)),
        prompt_(*columns.IndexOf(Field::kPromptTokens)),
        output_(*columns.IndexOf(Field::kOutputTokens)),
        outcome_(format.outcome.empty() ? header.size() : PlaceOf(format.outcome, header)),
        times_(columns.NameOf(Field::kTime),
               columns.time_unit() ? columns.time_unit() : format.time_unit, asked_unit) {}

  std::string_view format() const { return format_; }
  // The column that was read last: the one at fault after an error.
  std::size_t column() const { return column_; }

  // Adds the row that the reader is at.
  Result<void> Read(const CsvReader& reader, RequestRows& rows) {
    const auto placed = [&reader](const auto& result) {
      return result ? Result<void>() : reader.FailHere(result.error().message);
    };
    const auto cell_at = [this, &reader](std::size_t column) {
      column_ = column;
      return reader.At(column);
    };
    column_ = 0;
    HEADRACE_TRY(placed(one_run_.Check(reader.cells())));
    std::optional<Seconds> at;
    if (time_) {
      HEADRACE_ASSIGN(const std::string_view cell, cell_at(*time_));
      const Result<Seconds> read = times_.Read(cell);
      HEADRACE_TRY(placed(read));
      at = *read;
    }
    HEADRACE_ASSIGN(const std::string_view prompt_cell, cell_at(prompt_));
    const Result<Tokens> prompt = ReadTokens(prompt_cell);
    HEADRACE_TRY(placed(prompt));
    HEADRACE_ASSIGN(const std::string_view output_cell, cell_at(output_));
    const Result<Tokens> output = ReadTokens(output_cell);
    HEADRACE_TRY(placed(output));
    if (*output == 0 && outcome_ < reader.cells().size() &&
        reader.cells()[outcome_] != "completed") {
      rows.LeaveOutFailed();
    } else {
      rows.Add(at, *prompt, *output);
    }
    return {};
  }

 private:
  std::string_view format_;
  OneRun one_run_;
  std::optional<std::size_t> time_;
  std::size_t prompt_;
  std::size_t output_;
  std::size_t outcome_;  // Behind the last cell: there is none.
  std::size_t column_ = 0;
  TimeColumn times_;
};

}  // namespace

Result<RequestFile> ReadRequestCsv(std::string_view text, std::string_view name,
                                   std::optional<Seconds> time_unit) {
  constexpr std::string_view kHeader =
      "the first line must name the columns, such as arrival_s,prompt_tokens,output_tokens";
  CsvReader reader(text, name);
  HEADRACE_ASSIGN(const bool named, reader.NextRow());
  if (!named) {
    return Fail(std::string(name) + ": the file is empty; " + std::string(kHeader));
  }
  FieldColumns columns;
  for (std::size_t i = 0; i < reader.cells().size(); ++i) {
    if (const auto added = columns.Add(reader.cells()[i], i); !added) {
      return reader.FailHere("of the columns " + added.error().message);
    }
  }
  if (const auto checked = columns.CheckLengths(); !checked) {
    if (const std::string_view header = text.substr(0, text.find('\n'));
        reader.cells().size() == 1 && header.find_first_of(";\t") != header.npos) {
      return reader.FailHere("the columns must be separated by commas");
    }
    return reader.FailHere(std::string(kHeader) + ": " + checked.error().message);
  }
  RowReader row_reader(columns, FormatOf(columns, reader.cells()), reader.cells(), time_unit);
  RequestRows rows(name);
  for (;;) {
    HEADRACE_ASSIGN(const bool more, reader.NextRow());
    if (!more) break;
    const auto read = row_reader.Read(reader, rows);
    if (read) continue;
    const bool in_last_cell = row_reader.column() + 1 >= reader.cells().size();
    if (!reader.is_open() || !in_last_cell || rows.empty()) return tl::unexpected(read.error());
    rows.BreakOff(reader.line());
  }
  if (reader.broken_line() > 0) rows.BreakOff(reader.broken_line());
  return std::move(rows).Finish(row_reader.format());
}

}  // namespace headrace::workload
