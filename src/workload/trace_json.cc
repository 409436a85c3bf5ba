#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/python_numbers.h"
#include "base/text.h"
#include "workload/request_rows.h"
#include "workload/trace_fields.h"

namespace headrace::workload {
namespace {

using Json = nlohmann::json;

// Of conversations, whose texts no tokenizer has counted.
constexpr std::size_t kBytesPerToken = 4;

constexpr std::string_view kExample =
    "write it like {\"timestamp\": 12.5, \"input_length\": 800, \"output_length\": 90}";

// What results of benchmarks are mostly made of, and nothing here asks for.
constexpr std::string_view kTexts[] = {"generated_texts", "output",          "request_args", "itls",
                                       "errors",          "scheduler_state", "metrics"};

// Null if there is no such key.
const Json& Member(const Json& object, const char* key) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  const auto found = object.find(key);
  return found == object.end() ? kNone : *found;
}

Result<Tokens> TokensIn(const Json& value, std::string_view key) {
  if (value.is_number()) return ReadTokens(value.get<double>());
  if (value.is_string()) return ReadTokens(value.get_ref<const std::string&>());
  return Fail("\"" + Excerpt(key) + "\" must be a number of tokens");
}

// Requests as objects, each with the keys of the first one.
class ObjectReader {
 public:
  ObjectReader(std::string_view name, std::optional<Seconds> time_unit)
      : rows_(name), asked_(time_unit) {}

  // Errors are clauses.
  Result<void> Read(const Json& object) {
    if (!object.is_object()) return Fail("it is not a JSON object; " + std::string(kExample));
    if (Member(object, "conversations").is_array()) return ReadConversation(object);
    if (Member(object, "metadata").is_object() && object.contains("metrics")) {
      return ReadAiperf(object);
    }
    if (!times_) HEADRACE_TRY(ReadKeys(object));
    std::optional<Seconds> at;
    if (keys_.IndexOf(Field::kTime)) {
      HEADRACE_ASSIGN(at, TimeIn(Member(object, keys_.NameOf(Field::kTime).c_str())));
    }
    const std::string& prompt = keys_.NameOf(Field::kPromptTokens);
    const std::string& output = keys_.NameOf(Field::kOutputTokens);
    HEADRACE_ASSIGN(const Tokens prompt_tokens, TokensIn(Member(object, prompt.c_str()), prompt));
    HEADRACE_ASSIGN(const Tokens output_tokens, TokensIn(Member(object, output.c_str()), output));
    rows_.Add(at, prompt_tokens, output_tokens);
    return {};
  }

  bool empty() const { return rows_.empty(); }
  void BreakOff(std::size_t line) { rows_.BreakOff(line); }

  Result<RequestFile> Finish(std::string_view name) && {
    HEADRACE_ASSIGN(RequestFile file, std::move(rows_).Finish(format_));
    if (estimated_) {
      file.notes.push_back(std::string(name) + ": the lengths are estimated from the texts, at " +
                           std::to_string(kBytesPerToken) + " bytes a token");
    }
    return file;
  }

 private:
  Result<void> ReadKeys(const Json& object) {
    std::size_t index = 0;
    for (const auto& [key, value] : object.items()) HEADRACE_TRY(keys_.Add(key, index++));
    if (const auto checked = keys_.CheckLengths(); !checked) {
      return Fail("of its keys " + checked.error().message);
    }
    const std::string& time = keys_.NameOf(Field::kTime);
    std::optional<Seconds> told = keys_.time_unit();
    if (time == "timestamp" && keys_.NameOf(Field::kPromptTokens) == "input_length" &&
        keys_.NameOf(Field::kOutputTokens) == "output_length") {
      format_ = "Mooncake's JSON lines";
      told = 1e-3;
    }
    times_.emplace(time, told, asked_);
    return {};
  }

  Result<Seconds> TimeIn(const Json& value) {
    if (value.is_number()) return times_->Read(value.get<double>());
    if (value.is_string()) return times_->Read(value.get_ref<const std::string&>());
    return Fail("\"" + Excerpt(keys_.NameOf(Field::kTime)) + "\" must be a time");
  }

  // The first question and its answer.
  Result<void> ReadConversation(const Json& object) {
    format_ = "conversations";
    estimated_ = true;
    const Json& turns = Member(object, "conversations");
    const auto tokens = [&turns](std::size_t turn) -> Tokens {
      const Json& text = turns.size() > turn ? Member(turns[turn], "value") : Json();
      if (!text.is_string()) return 0;
      const std::size_t bytes = text.get_ref<const std::string&>().size();
      return static_cast<Tokens>(
          std::min((bytes + kBytesPerToken - 1) / kBytesPerToken, std::size_t{1} << 24));
    };
    rows_.Add(std::nullopt, tokens(0), tokens(1));
    return {};
  }

  // One record of profile_export.jsonl. Of a request that failed there are no lengths.
  Result<void> ReadAiperf(const Json& record) {
    format_ = "aiperf's records";
    const Json& metrics = record["metrics"];
    const Json& start = Member(record["metadata"], "request_start_ns");
    const Json& prompt = Member(Member(metrics, "input_sequence_length"), "value");
    const Json& output = Member(Member(metrics, "output_sequence_length"), "value");
    if (!start.is_number() || !prompt.is_number() || !output.is_number()) {
      Member(record, "error").is_null() ? rows_.LeaveOut() : rows_.LeaveOutFailed();
      return {};
    }
    HEADRACE_ASSIGN(const Seconds at,
                    TimeColumn("request_start_ns", 1e-9, {}).Read(start.get<double>()));
    HEADRACE_ASSIGN(const Tokens prompt_tokens, TokensIn(prompt, "input_sequence_length"));
    HEADRACE_ASSIGN(const Tokens output_tokens, TokensIn(output, "output_sequence_length"));
    rows_.Add(at, prompt_tokens, output_tokens);
    return {};
  }

  RequestRows rows_;
  std::optional<Seconds> asked_;
  std::string_view format_ = "JSON";
  FieldColumns keys_;
  std::optional<TimeColumn> times_;
  bool estimated_ = false;
};

// --- Results of benchmarks

bool IsVllmResult(const Json& object) {
  return object.is_object() && object.contains("request_throughput") &&
         object.contains("total_input_tokens");
}

// Of `vllm bench serve`: a list per quantity. Errors are clauses.
Result<void> AddVllmResult(const Json& result, RequestRows& rows) {
  const Json& prompts = Member(result, "input_lens");
  const Json& outputs = Member(result, "output_lens");
  const Json& starts = Member(result, "start_times");
  if (!prompts.is_array() || !outputs.is_array() || prompts.size() != outputs.size() ||
      (!starts.is_null() && (!starts.is_array() || starts.size() != prompts.size()))) {
    return Fail(
        "the result of `vllm bench serve` does not list its requests; run it with "
        "--save-result --save-detailed");
  }
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    HEADRACE_ASSIGN(const Tokens prompt, TokensIn(prompts[i], "input_lens"));
    HEADRACE_ASSIGN(const Tokens output, TokensIn(outputs[i], "output_lens"));
    if (output == 0) {  // So it writes of one that failed.
      rows.LeaveOutFailed();
      continue;
    }
    std::optional<Seconds> at;
    if (!starts.is_null()) {
      if (!starts[i].is_number()) return Fail("\"start_times\" must be numbers of seconds");
      HEADRACE_ASSIGN(at, TimeColumn("start_times", 1, {}).Read(starts[i].get<double>()));
    }
    rows.Add(at, prompt, output);
  }
  return {};
}

// guidellm's benchmarks.json: what succeeded in each of its benchmarks. It may hold a sample of the
// requests only. Errors are clauses.
Result<void> AddGuidellm(const Json& report, RequestRows& rows) {
  for (const Json& benchmark : Member(report, "benchmarks")) {
    const Json& requests = Member(benchmark, "requests");
    const std::size_t failed =
        Member(requests, "errored").size() + Member(requests, "incomplete").size();
    const std::size_t listed = Member(requests, "successful").size() + failed;
    const Json& made =
        Member(Member(Member(benchmark, "scheduler_metrics"), "requests_made"), "total");
    if (made.is_number_unsigned() && made.get<std::size_t>() > listed) {
      return Fail("of the " + made.dump() + " requests of a benchmark it lists " +
                  std::to_string(listed) + "; run guidellm without a sample size");
    }
    for (std::size_t i = 0; i < failed; ++i) rows.LeaveOutFailed();
    for (const Json& request : Member(requests, "successful")) {
      const Json& newer = Member(request, "request_start_time");
      const Json& start = newer.is_null() ? Member(request, "start_time") : newer;
      const Json& prompt = Member(request, "prompt_tokens");
      const Json& output = Member(request, "output_tokens");
      if (!start.is_number() || !prompt.is_number() || !output.is_number()) {
        rows.LeaveOut();
        continue;
      }
      HEADRACE_ASSIGN(const Seconds at, TimeColumn("start_time", 1, {}).Read(start.get<double>()));
      HEADRACE_ASSIGN(const Tokens prompt_tokens, TokensIn(prompt, "prompt_tokens"));
      HEADRACE_ASSIGN(const Tokens output_tokens, TokensIn(output, "output_tokens"));
      rows.Add(at, prompt_tokens, output_tokens);
    }
  }
  return {};
}

// --- Forms of text

// Without the texts of the requests, which may be most of it.
Json ParseDocument(std::string_view text) {
  const auto keep = [](int depth, Json::parse_event_t event, Json& parsed) {
    return event != Json::parse_event_t::key || depth < 1 || !parsed.is_string() ||
           std::ranges::find(kTexts, parsed.get_ref<const std::string&>()) == std::end(kTexts);
  };
  return Json::parse(text, keep, false);
}

Result<RequestFile> ReadDocument(const Json& document, std::string_view name) {
  const std::string file(name);
  RequestRows rows(name);
  std::string_view format = "results of vllm bench serve";
  Result<void> added;
  if (Member(document, "benchmarks").is_array()) {
    format = "guidellm's benchmarks";
    added = AddGuidellm(document, rows);
  } else if (IsVllmResult(document)) {
    added = AddVllmResult(document, rows);
  } else if (document.contains("input_config")) {
    return Fail(file +
                ": aiperf's summary does not list its requests; name its profile_export.jsonl");
  } else {
    return Fail(file +
                ": it is JSON, but none that lists requests; name a file with one object per "
                "request, such as " +
                std::string(kExample.substr(std::string_view("write it like ").size())));
  }
  if (!added) return Fail(file + ": " + added.error().message);
  return std::move(rows).Finish(format);
}

// Element by element: such files may be large.
Result<RequestFile> ReadArray(std::string_view text, std::string_view name,
                              std::optional<Seconds> time_unit) {
  ObjectReader reader(name, time_unit);
  std::size_t number = 0;
  std::string fault;
  const auto visit = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth != 1 ||
        (event != Json::parse_event_t::object_end && event != Json::parse_event_t::value)) {
      return true;
    }
    ++number;
    if (fault.empty()) {
      if (const auto read = reader.Read(parsed); !read) {
        fault = "request " + std::to_string(number) + ": " + read.error().message;
      }
    }
    return false;
  };
  if (Json::parse(text, visit, false).is_discarded() && fault.empty()) {
    fault =
        "it is not JSON, or breaks off after request " + std::to_string(number) + "; write it anew";
  }
  if (!fault.empty()) return Fail(std::string(name) + ": " + fault);
  return std::move(reader).Finish(name);
}

Result<RequestFile> ReadLines(std::string_view text, std::string_view name,
                              std::optional<Seconds> time_unit) {
  ObjectReader reader(name, time_unit);
  RequestRows results(name);  // Of lines that are whole results.
  std::size_t line = 0;
  while (!text.empty()) {
    ++line;
    const std::size_t end = text.find('\n');
    const std::string_view row = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (Trimmed(row).empty()) continue;
    const Json object = Json::parse(row, nullptr, false);
    // A recording that was stopped may break off within a line.
    if (object.is_discarded() && end == row.npos && !(reader.empty() && results.empty())) {
      results.BreakOff(line);
      reader.BreakOff(line);
      break;
    }
    const auto where = [&] { return std::string(name) + ":" + std::to_string(line) + ": "; };
    if (!object.is_object()) {
      return Fail(where() + "the line is not a JSON object; " + std::string(kExample));
    }
    const auto read = IsVllmResult(object) ? AddVllmResult(object, results) : reader.Read(object);
    if (!read) return Fail(where() + read.error().message);
  }
  if (!results.empty()) return std::move(results).Finish("results of vllm bench serve");
  return std::move(reader).Finish(name);
}

}  // namespace

Result<RequestFile> ReadRequestJson(std::string_view text, std::string_view name,
                                    std::optional<Seconds> time_unit) {
  const std::optional<std::string> replaced = NullForBareNumbers(text);
  if (replaced) text = *replaced;
  if (text.front() == '[') return ReadArray(text, name, time_unit);
  const std::size_t end = std::min(text.find('\n'), text.size());
  if (Trimmed(text.substr(end)).empty() || !Json::accept(text.substr(0, end))) {
    const Json document = ParseDocument(text);
    // One object is a document, unless it is one request.
    if (document.is_object() &&
        (document.contains("benchmarks") || IsVllmResult(document) ||
         document.contains("input_config") || !Trimmed(text.substr(end)).empty())) {
      return ReadDocument(document, name);
    }
  }
  return ReadLines(text, name, time_unit);
}

}  // namespace headrace::workload
