#include "openai/response.h"

#include <algorithm>
#include <cstring>

#include "openai/json_text.h"

namespace headrace::openai {
namespace {

constexpr std::string_view kUsageKey = "\"usage\"";
// A usage object is a few hundred bytes; what is longer is none.
constexpr std::size_t kMaxUsageBytes = 4096;

// The bytes up to and including the blank line that ends the event at the beginning of `text`; npos
// when it is not there. Lines end with LF or CRLF.
std::size_t EventEnd(std::string_view text) {
  std::size_t at = 0;
  for (;;) {
    const void* found = std::memchr(text.data() + at, '\n', text.size() - at);
    if (found == nullptr) return text.npos;
    at = static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) + 1;
    if (at < text.size() && text[at] == '\n') return at + 1;
    if (at + 1 < text.size() && text[at] == '\r' && text[at + 1] == '\n') return at + 2;
    if (at == text.size()) return text.npos;
  }
}

// Likewise for the event that begins with `before`, which holds no end, and goes on in `text`.
std::size_t EventEndAfter(std::string_view before, std::string_view text) {
  if (before.ends_with('\n')) {
    if (text.starts_with('\n')) return 1;
    if (text.starts_with("\r\n")) return 2;
  } else if (before.ends_with("\n\r") && text.starts_with('\n')) {
    return 1;
  }
  return EventEnd(text);
}

std::string_view LastTwo(std::string_view text) {
  return text.substr(text.size() - std::min<std::size_t>(text.size(), 2));
}

// What follows `field:` and one optional space, when the line is of that field.
bool TakeField(std::string_view line, std::string_view field, std::string_view& value) {
  if (!line.starts_with(field)) return false;
  value = line.substr(field.size());
  if (value.starts_with(' ')) value.remove_prefix(1);
  return true;
}

enum class Parsed { kWhole, kCut, kNot };

// A usage object at the beginning of `json`. One with a count that is no count (negative, broken,
// past kMostTokens) is none: half of what it says can't be believed either. Null is 0.
Parsed ParseUsage(std::string_view json, Usage& usage) {
  if (json.empty()) return Parsed::kCut;
  JsonCursor cursor(json.substr(0, kMaxUsageBytes));
  if (!cursor.Take('{')) return Parsed::kNot;
  usage = {};
  bool known = false;
  bool credible = true;
  const auto take = [&](Tokens& tokens) {
    cursor.Peek();
    const bool null = cursor.rest().starts_with("null");
    const std::optional<std::int64_t> count = cursor.Count(kMostTokens);
    if (!count && !null) credible = false;
    tokens = static_cast<Tokens>(count.value_or(0));
  };
  std::string_view key;
  for (bool first = true; cursor.NextKey(key, first); first = false) {
    if (key == "prompt_tokens" || key == "input_tokens") {
      take(usage.prompt_tokens);
      known = true;
    } else if (key == "completion_tokens" || key == "output_tokens") {
      take(usage.completion_tokens);
      known = true;
    } else if ((key == "prompt_tokens_details" || key == "input_tokens_details") &&
               cursor.Take('{')) {
      for (bool inner = true; cursor.NextKey(key, inner); inner = false) {
        if (key == "cached_tokens") {
          take(usage.cached_prompt_tokens);
        } else {
          cursor.Skip();
        }
      }
    } else {
      cursor.Skip();
    }
  }
  if (!cursor.ok()) return json.size() < kMaxUsageBytes ? Parsed::kCut : Parsed::kNot;
  return known && credible ? Parsed::kWhole : Parsed::kNot;
}

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

bool IsEmptyArray(std::string_view json) {
  JsonCursor cursor(json);
  return cursor.Take('[') && cursor.Take(']');
}

}  // namespace

std::optional<Usage> FindUsage(std::string_view json) {
  std::optional<Usage> last;
  for (std::size_t at = 0; (at = FindValue(json, kUsageKey, at)) != json.npos;) {
    Usage usage;
    if (ParseUsage(json.substr(at), usage) == Parsed::kWhole) last = usage;
  }
  return last;
}

ResponseStreamParser::ResponseStreamParser(ApiKind kind, Form form, bool hide_usage)
    : kind_(kind), form_(form), hide_usage_(hide_usage && form == Form::kEventStream) {}

void ResponseStreamParser::Feed(std::string_view bytes, std::vector<std::string_view>& forward) {
  if (bytes.empty()) return;
  if (!hide_usage_) forward.push_back(bytes);
  if (form_ == Form::kJson) {
    FeedJson(bytes);
  } else {
    FeedEvents(bytes, forward);
  }
}

// --- A whole JSON response

void ResponseStreamParser::FeedJson(std::string_view bytes) {
  deltas_ = 1;
  std::string_view text = bytes;
  if (!pending_.empty()) {
    pending_.append(bytes);
    text = pending_;
  }
  // Where a usage object may begin that is not whole yet.
  std::size_t keep = text.size() - std::min(text.size(), kUsageKey.size() + 1);
  for (std::size_t at = 0;;) {
    const std::size_t value = FindValue(text, kUsageKey, at);
    if (value == text.npos) {
      // The key itself may be here without its colon.
      const std::size_t key = text.rfind(kUsageKey);
      if (key != text.npos && key >= at &&
          text.find_first_not_of(" \t\r\n", key + kUsageKey.size()) == text.npos) {
        keep = std::min(keep, key);
      }
      break;
    }
    Usage usage;
    const Parsed parsed = ParseUsage(text.substr(value), usage);
    if (parsed == Parsed::kCut) {
      keep = text.rfind(kUsageKey, value);
      break;
    }
    if (parsed == Parsed::kWhole) usage_ = usage;
    at = value;
  }
  if (text.size() - keep > kMaxUsageBytes) keep = text.size();
  if (text.data() == pending_.data()) {
    pending_.erase(0, keep);
  } else {
    pending_.assign(text.substr(keep));
  }
}

// --- An event stream

void ResponseStreamParser::FeedEvents(std::string_view bytes,
                                      std::vector<std::string_view>& forward) {
  if (!pending_.empty()) {
    const std::size_t end = EventEndAfter(pending_, bytes);
    const std::string_view rest_of_event = bytes.substr(0, end);
    if (overlong_ || pending_.size() + rest_of_event.size() > kMaxEventBytes) {
      // Not read; passes on as it is. Two bytes are enough to see where it ends.
      std::string last(LastTwo(pending_));
      last.append(LastTwo(bytes));
      if (hide_usage_) {
        if (!overlong_) {
          released_.swap(pending_);
          forward.push_back(released_);
        }
        forward.push_back(rest_of_event);
      }
      pending_.assign(LastTwo(last));
      overlong_ = end == bytes.npos;
    } else {
      pending_.append(rest_of_event);
      if (end == bytes.npos) return;
      const bool hidden = ReadEvent(pending_);
      if (hide_usage_ && !hidden) {
        released_.swap(pending_);
        forward.push_back(released_);
      }
    }
    if (end == bytes.npos) return;
    pending_.clear();
    bytes.remove_prefix(end);
  }
  std::string_view run = bytes;  // Whole events that go on together.
  while (!bytes.empty()) {
    const std::size_t end = EventEnd(bytes);
    if (end == bytes.npos) break;
    const bool hidden = ReadEvent(bytes.substr(0, end));
    if (hidden && hide_usage_) {
      if (bytes.data() != run.data()) {
        forward.push_back(run.substr(0, static_cast<std::size_t>(bytes.data() - run.data())));
      }
      run = bytes.substr(end);
    }
    bytes.remove_prefix(end);
  }
  if (hide_usage_ && bytes.data() != run.data()) {
    forward.push_back(run.substr(0, static_cast<std::size_t>(bytes.data() - run.data())));
  }
  if (bytes.empty()) return;
  if (bytes.size() > kMaxEventBytes) {
    overlong_ = true;
    if (hide_usage_) forward.push_back(bytes);
    pending_.assign(LastTwo(bytes));
  } else {
    pending_.assign(bytes);
  }
}

void ResponseStreamParser::Finish(std::vector<std::string_view>& forward) {
  if (form_ == Form::kJson || pending_.empty() || overlong_) return;
  const bool hidden = ReadEvent(pending_);
  released_.swap(pending_);
  pending_.clear();
  if (hide_usage_ && !hidden) forward.push_back(released_);
}

// True when the event is the usage chunk alone.
bool ResponseStreamParser::ReadEvent(std::string_view event) {
  std::string_view name;
  std::string_view data;
  std::string joined;  // Data in several lines, which is rare.
  int lines = 0;
  while (!event.empty()) {
    const std::size_t end = std::min(event.find('\n'), event.size());
    std::string_view line = event.substr(0, end);
    event.remove_prefix(std::min(end + 1, event.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    std::string_view value;
    if (TakeField(line, "data:", value)) {
      if (++lines == 2) joined = data;
      if (lines >= 2) joined.append("\n").append(value);
      data = lines >= 2 ? std::string_view(joined) : value;
    } else if (TakeField(line, "event:", value)) {
      name = value;
    }
  }
  if (lines == 0) return false;
  return kind_ == ApiKind::kResponses ? ReadResponseEvent(name, data) : ReadChunk(name, data);
}

// One chunk of a chat or text completion.
bool ResponseStreamParser::ReadChunk(std::string_view name, std::string_view data) {
  if (data == "[DONE]") {
    done_ = true;
    return false;
  }
  if (name == "error") error_in_stream_ = true;
  if (IsDelta(data)) ++deltas_;
  // An error comes alone: it is the first key, or "object": "error" is.
  JsonCursor cursor(data);
  std::string_view key;
  if (cursor.Take('{') && cursor.NextKey(key, true)) {
    if (key == "error" && cursor.Peek() != 'n') error_in_stream_ = true;
    if (key == "object" && cursor.Peek() == '"' && cursor.String() == "error") {
      error_in_stream_ = true;
    }
  }
  std::size_t at = FindValue(data, kUsageKey);
  if (at == data.npos || data[std::min(at, data.size() - 1)] != '{') return false;
  if (const std::optional<Usage> usage = FindUsage(data)) usage_ = usage;
  at = FindValue(data, "\"choices\"");
  return usage_.has_value() && at != data.npos && IsEmptyArray(data.substr(at));
}

bool ResponseStreamParser::IsDelta(std::string_view data) {
  const std::string_view key = kind_ == ApiKind::kCompletions ? "\"text\"" : "\"delta\"";
  const std::string_view hinted = data.substr(std::min(delta_hint_, data.size()));
  const std::size_t at = FindValue(data, key, hinted.starts_with(key) ? delta_hint_ : 0);
  if (at == data.npos) return false;
  delta_hint_ = data.rfind(key, at);
  JsonCursor cursor(data.substr(at));
  if (kind_ == ApiKind::kCompletions) return cursor.Peek() == '"' && !cursor.String().empty();
  return cursor.Take('{') && HasContent(cursor);
}

// One event of a response: its type is the event's name, and also in its data.
bool ResponseStreamParser::ReadResponseEvent(std::string_view name, std::string_view data) {
  if (data == "[DONE]") {
    done_ = true;
    return false;
  }
  if (name.empty()) {
    const std::size_t at = FindValue(data, "\"type\"");
    if (at == data.npos) return false;
    name = JsonCursor(data.substr(at)).String();
  }
  if (name.ends_with(".delta")) {
    ++deltas_;
  } else if (name == "response.completed" || name == "response.incomplete") {
    done_ = true;
    if (const std::optional<Usage> usage = FindUsage(data)) usage_ = usage;
  } else if (name == "response.failed" || name == "error") {
    error_in_stream_ = true;
  }
  return false;
}

}  // namespace headrace::openai
