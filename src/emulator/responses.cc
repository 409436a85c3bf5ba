#include "emulator/responses.h"

#include <bit>
#include <cmath>
#include <vector>

#include "base/hash.h"
#include "base/json_writer.h"
#include "base/random.h"

namespace headrace::emulator {
namespace {

std::string SseEvent(std::string_view type, const std::string& json) {
  return "event: " + std::string(type) + "\ndata: " + json + "\n\n";
}

// The same text has the same vector on every machine.
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
                                   const OutputPlan& plan, std::string_view id,
                                   std::int64_t created)
    : chat_(kind == openai::ApiKind::kChatCompletions),
      request_(request),
      plan_(plan),
      id_(id),
      created_(created),
      chunk_head_(BeginChunk().Take()) {}

JsonWriter CompletionWriter::Begin(std::string_view object) const {
  JsonWriter json;
  json.BeginObject()
      .Member("id", (chat_ ? "chatcmpl-" : "cmpl-") + id_)
      .Member("object", object)
      .Member("created", created_)
      .Member("model", request_.model)
      .Key("choices");
  return json;
}

JsonWriter CompletionWriter::BeginChunk() const {
  return Begin(chat_ ? "chat.completion.chunk" : "text_completion");
}

void CompletionWriter::WriteUsage(JsonWriter& json) const {
  json.Key("usage")
      .BeginObject()
      .Member("prompt_tokens", request_.prompt)
      .Member("completion_tokens", plan_.tokens)
      .Member("total_tokens", request_.prompt + plan_.tokens)
      .Key("prompt_tokens_details")
      .Null()
      .EndObject();
}

std::string CompletionWriter::Whole() const {
  JsonWriter json = Begin(chat_ ? "chat.completion" : "text_completion");
  json.BeginArray().BeginObject().Member("index", 0);
  if (chat_) {
    json.Key("message")
        .BeginObject()
        .Member("role", "assistant")
        .Member("content", plan_.text)
        .Key("refusal")
        .Null()
        .Key("tool_calls")
        .BeginArray()
        .EndArray()
        .EndObject();
  } else {
    json.Member("text", plan_.text);
  }
  json.Key("logprobs").Null().Member("finish_reason", plan_.finish_reason).EndObject().EndArray();
  WriteUsage(json);
  return json.EndObject().Take();
}

// Without a JsonWriter, because it runs for each token.
void CompletionWriter::AppendChunk(std::string_view text, bool first, bool last,
                                   std::string& events) const {
  events += "data: ";
  events += chunk_head_;
  events += R"([{"index":0,)";
  if (chat_) {
    events += first ? R"("delta":{"role":"assistant","content":")" : R"("delta":{"content":")";
    events += text;
    events += R"("},"logprobs":null,"finish_reason":)";
  } else {
    events += R"("text":")";
    events += text;
    events += R"(","logprobs":null,"finish_reason":)";
  }
  if (last) {
    events += '"';
    events += plan_.finish_reason;
    events += '"';
  } else {
    events += "null";
  }
  events += "}]}\n\n";
}

std::string CompletionWriter::Event(Tokens generated) {
  const std::string_view visible = plan_.After(generated);
  const std::string_view fresh = visible.substr(std::min(sent_, visible.size()));
  sent_ = visible.size();
  std::string events;
  events.reserve(chunk_head_.size() + fresh.size() + 128);
  // As vLLM does, the role comes in an event of its own before the first text.
  if (first_ && chat_) AppendChunk("", true, false, events);
  first_ = false;
  AppendChunk(fresh, false, generated >= plan_.tokens, events);
  return events;
}

std::string CompletionWriter::End() const {
  std::string events;
  if (request_.include_usage) {
    JsonWriter json = BeginChunk();
    json.BeginArray().EndArray();
    WriteUsage(json);
    events += "data: " + json.EndObject().Take() + "\n\n";
  }
  return events + "data: [DONE]\n\n";
}

namespace {

constexpr std::string_view kInProgress = "in_progress";

std::string_view EndStatus(const OutputPlan& plan) {
  return plan.finish_reason == "length" ? "incomplete" : "completed";
}

void WritePart(std::string_view text, JsonWriter& json) {
  json.BeginObject()
      .Member("type", "output_text")
      .Member("text", text)
      .Key("annotations")
      .BeginArray()
      .EndArray()
      .EndObject();
}

}  // namespace

ResponseWriter::ResponseWriter(const EngineRequest& request, const OutputPlan& plan,
                               std::string_view id, std::int64_t created)
    : request_(request), plan_(plan), id_(id), created_(created) {}

JsonWriter ResponseWriter::BeginEvent(std::string_view type) {
  JsonWriter json;
  json.BeginObject().Member("type", type).Member("sequence_number", sequence_++);
  return json;
}

// Where the text belongs in the response.
void ResponseWriter::WritePlace(JsonWriter& json) const {
  json.Member("item_id", "msg_" + id_).Member("output_index", 0).Member("content_index", 0);
}

void ResponseWriter::WriteItem(std::string_view status, JsonWriter& json) const {
  json.BeginObject()
      .Member("id", "msg_" + id_)
      .Member("type", "message")
      .Member("role", "assistant")
      .Member("status", status)
      .Key("content")
      .BeginArray();
  if (status != kInProgress) WritePart(plan_.text, json);
  json.EndArray().EndObject();
}

void ResponseWriter::WriteObject(std::string_view status, JsonWriter& json) const {
  const bool done = status != kInProgress;
  json.BeginObject()
      .Member("id", "resp_" + id_)
      .Member("object", "response")
      .Member("created_at", created_)
      .Member("status", status)
      .Key("error")
      .Null()
      .Key("incomplete_details");
  if (status == "incomplete") {
    json.BeginObject().Member("reason", "max_output_tokens").EndObject();
  } else {
    json.Null();
  }
  json.Key("instructions").Null().Key("max_output_tokens");
  if (request_.max_tokens) {
    json.Value(*request_.max_tokens);
  } else {
    json.Null();
  }
  json.Member("model", request_.model).Key("output").BeginArray();
  if (done) WriteItem(status, json);
  json.EndArray();
  // What a client that sets none of this gets.
  json.Member("parallel_tool_calls", true)
      .Key("previous_response_id")
      .Null()
      .Member("store", false)
      .Key("temperature")
      .Raw("1.0")
      .Key("text")
      .Raw(R"({"format":{"type":"text"}})")
      .Member("tool_choice", "auto")
      .Key("tools")
      .Raw("[]")
      .Key("top_p")
      .Raw("1.0")
      .Member("truncation", "disabled")
      .Key("metadata")
      .Raw("{}")
      .Key("usage");
  if (done) {
    json.BeginObject()
        .Member("input_tokens", request_.prompt)
        .Key("input_tokens_details")
        .Raw(R"({"cached_tokens":0})")
        .Member("output_tokens", plan_.tokens)
        .Key("output_tokens_details")
        .Raw(R"({"reasoning_tokens":0})")
        .Member("total_tokens", request_.prompt + plan_.tokens)
        .EndObject();
  } else {
    json.Null();
  }
  json.EndObject();
}

std::string ResponseWriter::Whole() const {
  JsonWriter json;
  WriteObject(EndStatus(plan_), json);
  return json.Take();
}

std::string ResponseWriter::ObjectEvent(std::string_view type, std::string_view status) {
  JsonWriter json = BeginEvent(type);
  json.Key("response");
  WriteObject(status, json);
  return SseEvent(type, json.EndObject().Take());
}

std::string ResponseWriter::ItemEvent(std::string_view type, std::string_view status) {
  JsonWriter json = BeginEvent(type);
  json.Member("output_index", 0).Key("item");
  WriteItem(status, json);
  return SseEvent(type, json.EndObject().Take());
}

std::string ResponseWriter::PartEvent(std::string_view type, std::string_view text) {
  JsonWriter json = BeginEvent(type);
  WritePlace(json);
  json.Key("part");
  WritePart(text, json);
  return SseEvent(type, json.EndObject().Take());
}

std::string ResponseWriter::Begin() {
  std::string events = ObjectEvent("response.created", kInProgress);
  events += ObjectEvent("response.in_progress", kInProgress);
  events += ItemEvent("response.output_item.added", kInProgress);
  events += PartEvent("response.content_part.added", "");
  return events;
}

// Without a JsonWriter, because it runs for each token.
std::string ResponseWriter::Event(Tokens generated) {
  const std::string_view visible = plan_.After(generated);
  const std::string_view fresh = visible.substr(std::min(sent_, visible.size()));
  sent_ = visible.size();
  if (fresh.empty()) return {};
  std::string event =
      "event: response.output_text.delta\ndata: "
      R"({"type":"response.output_text.delta","sequence_number":)";
  event += std::to_string(sequence_++);
  event += R"(,"item_id":"msg_)";
  event += id_;
  event += R"(","output_index":0,"content_index":0,"logprobs":[],"delta":")";
  event += fresh;
  event += "\"}\n\n";
  return event;
}

std::string ResponseWriter::End() {
  constexpr std::string_view kTextDone = "response.output_text.done";
  JsonWriter json = BeginEvent(kTextDone);
  WritePlace(json);
  json.Key("logprobs").BeginArray().EndArray().Member("text", plan_.text);
  std::string events = SseEvent(kTextDone, json.EndObject().Take());
  const std::string_view status = EndStatus(plan_);
  events += PartEvent("response.content_part.done", plan_.text);
  events += ItemEvent("response.output_item.done", status);
  events += ObjectEvent("response." + std::string(status), status);
  return events;
}

// --- Messages

std::string_view MessageWriter::StopReason() const {
  return plan_.finish_reason == "length" ? "max_tokens" : "end_turn";
}

void MessageWriter::WriteMessage(bool done, JsonWriter& json) const {
  json.BeginObject().Member("id", "msg_" + id_).Member("type", "message");
  json.Member("role", "assistant").Member("model", request_.model).Key("content").BeginArray();
  if (done) {
    json.BeginObject().Member("type", "text").Member("text", plan_.text).EndObject();
  }
  json.EndArray().Key("stop_reason");
  if (done) {
    json.Value(StopReason());
  } else {
    json.Null();
  }
  json.Key("stop_sequence").Null().Key("usage").BeginObject();
  json.Member("input_tokens", request_.prompt);
  json.Member("output_tokens", done ? plan_.tokens : 0).EndObject().EndObject();
}

std::string MessageWriter::Whole() const {
  JsonWriter json;
  WriteMessage(true, json);
  return json.Take();
}

std::string MessageWriter::Begin() const {
  JsonWriter start;
  start.BeginObject().Member("type", "message_start").Key("message");
  WriteMessage(false, start);
  return SseEvent("message_start", start.EndObject().Take()) +
         SseEvent("content_block_start", R"({"type":"content_block_start","index":0,)"
                                         R"("content_block":{"type":"text","text":""}})");
}

std::string MessageWriter::Event(Tokens generated) {
  const std::string_view visible = plan_.After(generated);
  const std::string fresh(visible.substr(std::min(sent_, visible.size())));
  sent_ = visible.size();
  if (fresh.empty()) return {};
  return SseEvent(
      "content_block_delta",
      R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")" + fresh +
          "\"}}");
}

std::string MessageWriter::End() const {
  JsonWriter delta;
  delta.BeginObject().Member("type", "message_delta").Key("delta").BeginObject();
  delta.Member("stop_reason", StopReason()).Key("stop_sequence").Null().EndObject();
  delta.Key("usage").BeginObject().Member("input_tokens", request_.prompt);
  delta.Member("output_tokens", plan_.tokens).EndObject();
  return SseEvent("content_block_stop", R"({"type":"content_block_stop","index":0})") +
         SseEvent("message_delta", delta.EndObject().Take()) +
         SseEvent("message_stop", R"({"type":"message_stop"})");
}

std::string EmbeddingsJson(const EngineRequest& request) {
  JsonWriter json;
  json.BeginObject().Member("object", "list").Member("model", request.model).Key("data");
  json.BeginArray();
  for (std::size_t i = 0; i < request.texts.size(); ++i) {
    const std::vector<float> unit = UnitVector(request.texts[i], request.dimensions);
    json.BeginObject().Member("object", "embedding").Member("index", i).Key("embedding");
    if (request.base64) {
      json.Value(Base64(unit));
    } else {
      json.BeginArray();
      for (const float value : unit) json.Raw(std::to_string(value));
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndArray().Key("usage").BeginObject();
  json.Member("prompt_tokens", request.prompt).Member("total_tokens", request.prompt);
  return json.EndObject().EndObject().Take();
}

std::string ModelsJson(std::string_view model, Tokens max_model_len, std::int64_t created) {
  JsonWriter json;
  json.BeginObject().Member("object", "list").Key("data").BeginArray();
  json.BeginObject()
      .Member("id", model)
      .Member("object", "model")
      .Member("created", created)
      .Member("owned_by", "headrace")
      .Member("root", model)
      .Key("parent")
      .Null()
      .Member("max_model_len", max_model_len)
      .EndObject();
  return json.EndArray().EndObject().Take();
}

std::string TokenizeJson(Tokens tokens, Tokens max_model_len) {
  JsonWriter json;
  json.BeginObject().Member("count", tokens).Member("max_model_len", max_model_len);
  json.Key("tokens").BeginArray();
  for (Tokens i = 0; i < tokens; ++i) json.Value(i);
  return json.EndArray().EndObject().Take();
}

}  // namespace headrace::emulator
