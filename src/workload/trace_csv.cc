#include "base/csv.h"
#include "base/text.h"
#include "workload/request_rows.h"
#include "workload/trace_fields.h"

namespace headrace::workload {
namespace {

// Whose file has these columns; `time_unit` is that of its times if they are numbers.
struct Format {
  std::string_view name;
  std::string_view time;
  std::string_view prompt;
  std::string_view output;
  std::optional<Seconds> time_unit;
};
constexpr Format kFormats[] = {
    {"Azure's CSV", "TIMESTAMP", "ContextTokens", "GeneratedTokens", std::nullopt},
    {"BurstGPT's CSV", "Timestamp", "Request tokens", "Response tokens", 1},
};

Format FormatOf(const FieldColumns& columns) {
  for (const Format& format : kFormats) {
    if (columns.NameOf(Field::kTime) == format.time &&
        columns.NameOf(Field::kPromptTokens) == format.prompt &&
        columns.NameOf(Field::kOutputTokens) == format.output) {
      return format;
    }
  }
  return {.name = "CSV"};
}

}  // namespace

Result<RequestFile> ReadRequestCsv(std::string_view text, std::string_view name,
                                   std::optional<Seconds> time_unit) {
  constexpr std::string_view kHeader =
      "the first line must name the columns, such as arrival_s,prompt_tokens,output_tokens";
  CsvReader reader(text, name);
  if (!reader.NextRow()) {
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
  const Format format = FormatOf(columns);
  const std::optional<std::size_t> time = columns.IndexOf(Field::kTime);
  const std::size_t prompt = *columns.IndexOf(Field::kPromptTokens);
  const std::size_t output = *columns.IndexOf(Field::kOutputTokens);
  TimeColumn times(columns.NameOf(Field::kTime),
                   columns.time_unit() ? columns.time_unit() : format.time_unit, time_unit);
  RequestRows rows(name);
  while (reader.NextRow()) {
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
