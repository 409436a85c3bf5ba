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
       .one_run = "load with one stage"}};
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

// Refuses the rows of a second run: their requests did not come among those of the first.
class OneRun {
 public:
  OneRun(const Format& format, Cells header) : one_run_(format.one_run) {
    for (const std::string_view column : format.runs) {
      places_.push_back(
          static_cast<std::size_t>(std::ranges::find(header, column) - header.begin()));
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
  const Format format = FormatOf(columns, reader.cells());
  OneRun one_run(format, reader.cells());
  const std::optional<std::size_t> time = columns.IndexOf(Field::kTime);
  const std::size_t prompt = *columns.IndexOf(Field::kPromptTokens);
  const std::size_t output = *columns.IndexOf(Field::kOutputTokens);
  TimeColumn times(columns.NameOf(Field::kTime),
                   columns.time_unit() ? columns.time_unit() : format.time_unit, time_unit);
  RequestRows rows(name);
  for (;;) {
    HEADRACE_ASSIGN(const bool more, reader.NextRow());
    if (!more) break;
    if (const auto same = one_run.Check(reader.cells()); !same) {
      return reader.FailHere(same.error().message);
    }
    std::optional<Seconds> at;
    if (time) {
      HEADRACE_ASSIGN(const std::string_view cell, reader.At(*time));
      const Result<Seconds> read = times.Read(cell);
      if (!read) return reader.FailHere(read.error().message);
      at = *read;
    }
    HEADRACE_ASSIGN(const std::string_view prompt_cell, reader.At(prompt));
    HEADRACE_ASSIGN(const std::string_view output_cell, reader.At(output));
    const Result<Tokens> prompt_tokens = ReadTokens(prompt_cell);
    if (!prompt_tokens) return reader.FailHere(prompt_tokens.error().message);
    const Result<Tokens> output_tokens = ReadTokens(output_cell);
    if (!output_tokens) return reader.FailHere(output_tokens.error().message);
    rows.Add(at, *prompt_tokens, *output_tokens);
  }
  return std::move(rows).Finish(format.name);
}

}  // namespace headrace::workload
