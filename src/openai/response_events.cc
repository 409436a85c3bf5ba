// What the events of each API say.
#include <algorithm>

#include "base/text.h"
#include "openai/json_text.h"
#include "openai/response.h"

namespace headrace::openai {
namespace {

constexpr std::string_view kFinishKey = "\"finish_reason\"";
// Choices beyond this index are not told apart.
constexpr std::int64_t kMostChoices = 1 << 12;

// True when a chat delta, with the cursor behind its brace, brings some of the content.
bool HasContent(JsonCursor& delta) {
  std::string_view key;
  for (bool first = true; delta.NextKey(key, first); first = false) {
    if (key == "content" || key == "reasoning_content" || key == "reasoning" || key == "refusal") {
      if (delta.Peek() == '"' && !delta.String().empty()) return true;
      if (delta.Peek() != ',' && delta.Peek() != '}') delta.Skip();
    } else if (key == "tool_calls" || key == "function_call" || key == "audio") {
      const bool something =
          (delta.Take('[') && delta.Peek() != ']') || (delta.Take('{') && delta.Peek() != '}');
      if (something) return true;
      if (!delta.Take(']') && !delta.Take('}')) delta.Skip();
    } else {
      delta.Skip();
    }
  }
  return false;
}

// A chunk that brings usage and no choice.
bool IsUsageChunk(std::string_view json) {
  JsonCursor cursor(json);
  if (!cursor.Take('{')) return false;
  bool usage = false;
  std::string_view key;
  for (bool first = true; cursor.NextKey(key, first); first = false) {
    if (key == "choices") {
      if (cursor.Peek() != 'n' && cursor.Take('[') && !cursor.Take(']')) return false;
      if (cursor.Peek() == 'n') cursor.Skip();
    } else {
      usage = usage || (key == "usage" && cursor.Peek() == '{');
      cursor.Skip();
    }
  }
  return usage && cursor.ok();
}

}  // namespace

bool ResponseStreamParser::ReadData(std::string_view name, std::string_view data) {
  ++events_;
  data = Trimmed(data);
  if (data == "[DONE]") {
    done_ = true;
    return false;
  }
  if (kind_ == ApiKind::kMessages) {
    ReadMessagesEvent(name, data);
    return false;
  }
  if (kind_ != ApiKind::kResponses) return ReadChunk(name, data);
  ReadResponseEvent(name, data);
  return false;
}

// One chunk of a chat or text completion. True when it is the usage chunk alone, to be hidden.
bool ResponseStreamParser::ReadChunk(std::string_view name, std::string_view data) {
  const bool has_choice = ReadChoice(data);
  if (!has_choice || name == "error") {
    std::optional<EngineError> error = FindError(data);
    if (!error && name == "error") error.emplace();
    if (error) {
      error_ = error;
      return false;
    }
  }
  const std::size_t usage_at = FindValue(data, kUsageKey);
  if (usage_at >= data.size() || data[usage_at] != '{') return false;
  if (const std::optional<Usage> usage = FindUsage(data)) usage_ = usage;
  return hide_usage_ && !has_choice && IsUsageChunk(data);
}

// True when a choice is in the chunk.
bool ResponseStreamParser::ReadChoice(std::string_view data) {
  const std::string_view key = kind_ == ApiKind::kCompletions ? "\"text\"" : "\"delta\"";
  const std::size_t at = FindValue(data, key);
  if (at != data.npos && IsDelta(data, at)) ++deltas_;
  if (choices_ > 1) {
    ReadAllChoices(data);
  } else {
    ReadFinish(data);
  }
  if (at == data.npos) return false;
  begun_ = true;
  return true;
}

bool ResponseStreamParser::IsDelta(std::string_view data, std::size_t at) const {
  JsonCursor cursor(data.substr(at));
  if (kind_ == ApiKind::kCompletions) return cursor.Peek() == '"' && !cursor.String().empty();
  return cursor.Take('{') && HasContent(cursor);
}

// Of the only choice.
void ResponseStreamParser::ReadFinish(std::string_view data) {
  const std::size_t at = FindValue(data, kFinishKey);
  if (at >= data.size() || data[at] != '"') return;
  const std::string_view reason = JsonCursor(data.substr(at)).String();
  if (reason.empty()) return;
  begun_ = finished_ = true;
  if (reason == "error" && !error_) error_.emplace();
}

void ResponseStreamParser::ReadAllChoices(std::string_view data) {
  const std::size_t at = FindValue(data, "\"choices\"");
  if (at == data.npos) return;
  JsonCursor cursor(data.substr(at));
  if (!cursor.Take('[')) return;
  while (cursor.Take('{')) {
    std::size_t index = 0;
    bool finished = false;
    std::string_view key;
    for (bool first = true; cursor.NextKey(key, first); first = false) {
      if (key == "index") {
        index = static_cast<std::size_t>(cursor.Count(kMostChoices).value_or(0));
      } else if (key == "finish_reason" && cursor.Peek() == '"') {
        const std::string_view reason = cursor.String();
        finished = !reason.empty();
        if (reason == "error" && !error_) error_.emplace();
      } else {
        cursor.Skip();
      }
    }
    if (!cursor.ok()) return;
    if (index >= begun_choices_.size()) {
      begun_choices_.resize(index + 1);
      finished_choices_.resize(index + 1);
    }
    begun_choices_[index] = begun_ = true;
    if (finished) finished_choices_[index] = finished_ = true;
    if (!cursor.Take(',')) return;
  }
}

// One event of Anthropic's messages. Counts come in pieces: the prompt's in the first event, the
// response's in message_delta; vLLM repeats the prompt's there.
void ResponseStreamParser::ReadMessagesEvent(std::string_view name, std::string_view data) {
  if (name.empty()) {
    const std::size_t at = FindValue(data, "\"type\"");
    if (at != data.npos) name = JsonCursor(data.substr(at)).String();
  }
  if (name == "content_block_delta") {
    ++deltas_;
  } else if (name == "message_start" || name == "message_delta") {
    if (const std::optional<Usage> usage = FindUsage(data)) {
      if (!usage_) usage_.emplace();
      if (usage->prompt_tokens > 0) {
        usage_->prompt_tokens = usage->prompt_tokens;
        usage_->cached_prompt_tokens = usage->cached_prompt_tokens;
      }
      usage_->completion_tokens = std::max(usage_->completion_tokens, usage->completion_tokens);
    }
  } else if (name == "message_stop") {
    finished_ = true;
  } else if (std::optional<EngineError> error = FindError(data); error || name == "error") {
    error_ = error.value_or(EngineError{});
    error_->understood = true;
  }
}

// One event of a response: its type is the event's name, and also in its data.
void ResponseStreamParser::ReadResponseEvent(std::string_view name, std::string_view data) {
  if (name.empty()) {
    const std::size_t at = FindValue(data, "\"type\"");
    if (at != data.npos) name = JsonCursor(data.substr(at)).String();
  }
  if (name.ends_with(".delta")) {
    ++deltas_;
  } else if (name == "response.created") {
    const std::size_t at = FindValue(data, "\"response\"");
    if (at != data.npos) NoteResponseId(data.substr(at));
  } else if (name == "response.completed" || name == "response.incomplete") {
    finished_ = true;
    if (const std::optional<Usage> usage = FindUsage(data)) usage_ = usage;
  } else if (name == "response.failed") {
    // The response itself has the error, in a form that clients know.
    finished_ = true;
    const std::size_t at = FindValue(data, "\"response\"");
    error_ = at == data.npos ? std::nullopt : FindError(data.substr(at));
    if (!error_) error_ = EngineError{.understood = true};
  } else if (std::optional<EngineError> error = FindError(data); error || name == "error") {
    error_ = error.value_or(EngineError{});
    error_->understood = error_->understood || name == "error";
  }
}

}  // namespace headrace::openai
