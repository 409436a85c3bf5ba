#include "emulator/answers.h"

#include <bit>
#include <cmath>
#include <vector>

#include "base/json_writer.h"
#include "base/random.h"

namespace headrace::emulator {
namespace {

std::string Quoted(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, quoted);
  return quoted;
}

std::string SseEvent(std::string_view name, const std::string& data) {
  return "event: " + std::string(name) + "\ndata: " + data + "\n\n";
}

// FNV-1a, so that the same text has the same vector on every machine.
std::uint64_t HashOf(std::string_view text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

std::vector<float> UnitVector(std::string_view text, int dimensions) {
  Rng rng(HashOf(text));
  std::vector<double> values(static_cast<std::size_t>(dimensions));
  double square = 0;
  for (double& value : values) {
    value = rng.Normal();
    square += value * value;
  }
  const double norm = square > 0 ? std::sqrt(square) : 1;
  std::vector<float> unit;
  unit.reserve(values.size());
  for (const double value : values) unit.push_back(static_cast<float>(value / norm));
  return unit;
}

// Little-endian floats in base64, which OpenAI's own clients ask for.
std::string Base64(const std::vector<float>& values) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  for (const float value : values) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xff);
  }
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text += i <= count ? kDigits[group >> (18 - 6 * i) & 63] : '=';
    }
  }
  return text;
}

}  // namespace

CompletionWriter::CompletionWriter(openai::ApiKind kind, const EngineRequest& request,
                                   const AnswerPlan& plan, std::string_view id,
                                   std::int64_t created)
    : kind_(kind), request_(request), plan_(plan) {
  const bool chat = kind == openai::ApiKind::kChatCompletions;
  const std::string begin = std::string(R"({"id":")") + (chat ? "chatcmpl-" : "cmpl-") +
                            std::string(id) + R"(","object":")";
  const std::string end = R"(","created":)" + std::to_string(created) + R"(,"model":)" +
                          Quoted(request.model) + R"(,"choices":)";
  head_ = begin + (chat ? "chat.completion" : "text_completion") + end;
  chunk_head_ = begin + (chat ? "chat.completion.chunk" : "text_completion") + end;
}

std::string CompletionWriter::Usage() const {
  return R"("usage":{"prompt_tokens":)" + std::to_string(request_.prompt) +
         R"(,"completion_tokens":)" + std::to_string(plan_.tokens) + R"(,"total_tokens":)" +
         std::to_string(request_.prompt + plan_.tokens) + R"(,"prompt_tokens_details":null})";
}

std::string CompletionWriter::Whole() const {
  const std::string reason(plan_.finish_reason);
  std::string choice = kind_ == openai::ApiKind::kChatCompletions
                           ? R"([{"index":0,"message":{"role":"assistant","content":")" +
                                 plan_.text + R"(","refusal":null,"tool_calls":[]})"
                           : R"([{"index":0,"text":")" + plan_.text + '"';
  return head_ + choice + R"(,"logprobs":null,"finish_reason":")" + reason + R"("}],)" + Usage() +
         "}";
}

std::string CompletionWriter::Choice(std::string_view text, bool first, bool last) const {
  std::string choice = R"([{"index":0,)";
  if (kind_ == openai::ApiKind::kChatCompletions) {
    choice += first ? R"("delta":{"role":"assistant","content":")" : R"("delta":{"content":")";
    choice += text;
    choice += R"("},"logprobs":null)";
  } else {
    choice += R"("text":")";
    choice += text;
    choice += R"(","logprobs":null)";
  }
  choice += R"(,"finish_reason":)";
  choice += last ? '"' + std::string(plan_.finish_reason) + '"' : "null";
  choice += "}]";
  return choice;
}

std::string CompletionWriter::Event(Tokens generated) {
  const std::string_view visible = plan_.After(generated);
  const std::string_view fresh = visible.substr(std::min(sent_, visible.size()));
  sent_ = visible.size();
  std::string event;
  // As vLLM does, the role comes in an event of its own before the first text.
  if (first_ && kind_ == openai::ApiKind::kChatCompletions) {
    event += "data: " + chunk_head_ + Choice("", true, false) + "}\n\n";
  }
  first_ = false;
  event += "data: " + chunk_head_ + Choice(fresh, false, generated >= plan_.tokens) + "}\n\n";
  return event;
}

std::string CompletionWriter::End() const {
  std::string end;
  if (request_.include_usage) end += "data: " + chunk_head_ + "[]," + Usage() + "}\n\n";
  return end + "data: [DONE]\n\n";
}

ResponseWriter::ResponseWriter(const EngineRequest& request, const AnswerPlan& plan,
                               std::string_view id, std::int64_t created)
    : request_(request), plan_(plan), id_(id), created_(created) {}

std::string ResponseWriter::Sequence() {
  return R"(,"sequence_number":)" + std::to_string(sequence_++);
}

std::string ResponseWriter::Item(std::string_view status) const {
  const bool begun = status != "in_progress";
  return R"({"id":"msg_)" + id_ + R"(","type":"message","role":"assistant","status":")" +
         std::string(status) + R"(","content":[)" +
         (begun ? R"({"type":"output_text","text":")" + plan_.text + R"(","annotations":[]})"
                : std::string()) +
         "]}";
}

std::string ResponseWriter::Object(std::string_view status) const {
  const bool done = status != "in_progress";
  std::string object = R"({"id":"resp_)" + id_ + R"(","object":"response","created_at":)" +
                       std::to_string(created_) + R"(,"status":")" + std::string(status) +
                       R"(","error":null,"incomplete_details":)" +
                       (status == "incomplete" ? R"({"reason":"max_output_tokens"})" : "null") +
                       R"(,"instructions":null,"max_output_tokens":)" +
                       (request_.max_tokens ? std::to_string(*request_.max_tokens) : "null") +
                       R"(,"model":)" + Quoted(request_.model) + R"(,"output":[)" +
                       (done ? Item(status) : std::string()) +
                       R"(],"parallel_tool_calls":true,"previous_response_id":null,"store":false,)"
                       R"("temperature":1.0,"text":{"format":{"type":"text"}},)"
                       R"("tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled",)"
                       R"("metadata":{},"usage":)";
  if (!done) return object + "null}";
  return object + R"({"input_tokens":)" + std::to_string(request_.prompt) +
         R"(,"input_tokens_details":{"cached_tokens":0},"output_tokens":)" +
         std::to_string(plan_.tokens) +
         R"(,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":)" +
         std::to_string(request_.prompt + plan_.tokens) + "}}";
}

namespace {

std::string_view EndStatus(const AnswerPlan& plan) {
  return plan.finish_reason == "length" ? "incomplete" : "completed";
}

}  // namespace

std::string ResponseWriter::Whole() const { return Object(EndStatus(plan_)); }

std::string ResponseWriter::Begin() {
  std::string events;
  for (const char* type : {"response.created", "response.in_progress"}) {
    events += SseEvent(type, std::string(R"({"type":")") + type + '"' + Sequence() +
                                 R"(,"response":)" + Object("in_progress") + "}");
  }
  events += SseEvent("response.output_item.added", R"({"type":"response.output_item.added")" +
                                                       Sequence() + R"(,"output_index":0,"item":)" +
                                                       Item("in_progress") + "}");
  events += SseEvent("response.content_part.added",
                     R"({"type":"response.content_part.added")" + Sequence() +
                         R"(,"item_id":"msg_)" + id_ +
                         R"(","output_index":0,"content_index":0,"part":)"
                         R"({"type":"output_text","text":"","annotations":[]}})");
  return events;
}

std::string ResponseWriter::Event(Tokens generated) {
  const std::string_view visible = plan_.After(generated);
  const std::string_view fresh = visible.substr(std::min(sent_, visible.size()));
  sent_ = visible.size();
  if (fresh.empty()) return {};
  return SseEvent("response.output_text.delta",
                  R"({"type":"response.output_text.delta")" + Sequence() + R"(,"item_id":"msg_)" +
                      id_ + R"(","output_index":0,"content_index":0,"logprobs":[],"delta":")" +
                      std::string(fresh) + R"("})");
}

std::string ResponseWriter::End() {
  const std::string status(EndStatus(plan_));
  const std::string place =
      R"(,"item_id":"msg_)" + id_ + R"(","output_index":0,"content_index":0,)";
  std::string events = SseEvent("response.output_text.done",
                                R"({"type":"response.output_text.done")" + Sequence() + place +
                                    R"("logprobs":[],"text":")" + plan_.text + R"("})");
  events += SseEvent("response.content_part.done", R"({"type":"response.content_part.done")" +
                                                       Sequence() + place +
                                                       R"("part":{"type":"output_text","text":")" +
                                                       plan_.text + R"(","annotations":[]}})");
  events += SseEvent("response.output_item.done", R"({"type":"response.output_item.done")" +
                                                      Sequence() + R"(,"output_index":0,"item":)" +
                                                      Item(status) + "}");
  events += SseEvent("response." + status, R"({"type":"response.)" + status + '"' + Sequence() +
                                               R"(,"response":)" + Object(status) + "}");
  return events;
}

std::string EmbeddingsJson(const EngineRequest& request) {
  std::string json = R"({"object":"list","model":)" + Quoted(request.model) + R"(,"data":[)";
  for (std::size_t i = 0; i < request.texts.size(); ++i) {
    const std::vector<float> unit = UnitVector(request.texts[i], request.dimensions);
    json += std::string(i == 0 ? "" : ",") + R"({"object":"embedding","index":)" +
            std::to_string(i) + R"(,"embedding":)";
    if (request.base64) {
      json += '"' + Base64(unit) + '"';
    } else {
      json += '[';
      for (std::size_t j = 0; j < unit.size(); ++j) {
        json += (j == 0 ? "" : ",") + std::to_string(unit[j]);
      }
      json += ']';
    }
    json += '}';
  }
  return json + R"(],"usage":{"prompt_tokens":)" + std::to_string(request.prompt) +
         R"(,"total_tokens":)" + std::to_string(request.prompt) + "}}";
}

std::string ModelsJson(std::string_view model, Tokens max_model_len, std::int64_t created) {
  return R"({"object":"list","data":[{"id":)" + Quoted(model) + R"(,"object":"model","created":)" +
         std::to_string(created) + R"(,"owned_by":"headrace","root":)" + Quoted(model) +
         R"(,"parent":null,"max_model_len":)" + std::to_string(max_model_len) + "}]}";
}

std::string TokenizeJson(Tokens tokens, Tokens max_model_len) {
  std::string json = R"({"count":)" + std::to_string(tokens) + R"(,"max_model_len":)" +
                     std::to_string(max_model_len) + R"(,"tokens":[)";
  for (Tokens i = 0; i < tokens; ++i) json += (i == 0 ? "" : ",") + std::to_string(i);
  return json + "]}";
}

}  // namespace headrace::emulator
