#include "openai/response.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <charconv>
#include <utility>

#include "base/text.h"
#include "openai/json_text.h"

namespace headrace::openai {
namespace {

// The first bytes of a JSON response that can tell an answer from an error, and the longest error.
constexpr std::size_t kMostOpeningBytes = 256;
constexpr std::size_t kMostErrorBytes = std::size_t{64} << 10;

constexpr std::string_view kSpace = " \t\r\n";

// Where the line that goes on at `from` ends: its CR or LF; npos when that has not come.
std::size_t LineEnd(std::string_view text, std::size_t from) {
#ifdef __SSE2__
  const __m128i lf = _mm_set1_epi8('\n');
  const __m128i cr = _mm_set1_epi8('\r');
  for (; from + 16 <= text.size(); from += 16) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + from));
    const int ends =
        _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(part, lf), _mm_cmpeq_epi8(part, cr)));
    if (ends != 0) {
      return from + static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(ends)));
    }
  }
#endif
  return text.find_first_of("\r\n", from);
}

// Behind the CR, LF or CRLF at `at`.
std::size_t BehindLineEnd(std::string_view text, std::size_t at) {
  const bool two = text[at] == '\r' && at + 1 < text.size() && text[at + 1] == '\n';
  return at + (two ? 2 : 1);
}

// What follows `field:` and one optional space, when the line is of that field.
bool TakeField(std::string_view line, std::string_view field, std::string_view& value) {
  if (!line.starts_with(field)) return false;
  value = line.substr(field.size());
  if (value.starts_with(' ')) value.remove_prefix(1);
  return true;
}

// A whole object by itself, or the end mark.
bool IsWholeData(std::string_view data) {
  data = Trimmed(data);
  if (data == "[DONE]") return true;
  if (!data.starts_with('{') || !data.ends_with('}')) return false;
  JsonCursor cursor(data);
  cursor.Skip();
  return cursor.ok() && cursor.rest().empty();
}

}  // namespace

// What a JSON response that begins with `json` is, by its first key.
ResponseStreamParser::Opening ResponseStreamParser::OpeningOf(std::string_view json) {
  const Opening unknown = json.size() < kMostOpeningBytes ? Opening::kUnknown : Opening::kAnswer;
  JsonCursor cursor(json);
  if (!cursor.Take('{')) return cursor.Peek() == '\0' ? unknown : Opening::kAnswer;
  std::string_view key;
  if (!cursor.NextKey(key, true)) return cursor.ok() ? Opening::kAnswer : unknown;
  const char value = cursor.Peek();
  if (value == '\0') return unknown;
  // "error": null is in answers too.
  if (key == "error") return value == 'n' || value == 'f' ? Opening::kAnswer : Opening::kError;
  if (key != "object" || value != '"') return Opening::kAnswer;
  const std::string_view object = cursor.String();
  if (!cursor.ok()) return unknown;
  return object == "error" ? Opening::kError : Opening::kAnswer;
}

ResponseStreamParser::ResponseStreamParser(ApiKind kind, Form form, bool hide_usage, int choices)
    : kind_(kind),
      form_(form),
      hide_usage_(hide_usage && form == Form::kEventStream),
      choices_(choices) {}

void ResponseStreamParser::Feed(std::string_view bytes, std::vector<std::string_view>& forward) {
  if (bytes.empty()) return;
  if (form_ == Form::kJson) {
    FeedJson(bytes, forward);
  } else {
    FeedEvents(bytes, forward);
  }
}

void ResponseStreamParser::Finish(std::vector<std::string_view>& forward) {
  if (form_ == Form::kJson) {
    if (opening_ == Opening::kAnswer) return;
    if (opening_ == Opening::kError) {
      error_ = FindError(held_).value_or(EngineError{});
    } else {
      FindJsonUsage(held_);
    }
    opening_ = Opening::kAnswer;
    released_.swap(held_);
    if (!released_.empty()) forward.push_back(released_);
    return;
  }
  if (pending_.empty()) return;
  const bool hidden = ReadEvent(pending_);
  released_.swap(pending_);
  pending_.clear();
  if (!hidden) forward.push_back(released_);
}

bool ResponseStreamParser::complete() const {
  if (form_ == Form::kJson) return first_ == '{' ? last_ == '}' : first_.has_value();
  if (kind_ == ApiKind::kResponses || kind_ == ApiKind::kMessages) return finished_;
  if (!finished_) return done_ && begun_;
  return begun_choices_ == finished_choices_;
}

// --- A whole JSON response

void ResponseStreamParser::FeedJson(std::string_view bytes,
                                    std::vector<std::string_view>& forward) {
  deltas_ = 1;
  if (const std::size_t last = bytes.find_last_not_of(kSpace); last != bytes.npos) {
    if (!first_) first_ = bytes[bytes.find_first_not_of(kSpace)];
    last_ = bytes[last];
  }
  if (opening_ == Opening::kAnswer) {
    forward.push_back(bytes);
    FindJsonUsage(bytes);
    return;
  }
  // Held back while it may be an error: then its status can still be told.
  const bool whole = held_.empty();
  if (!whole) held_.append(bytes);
  if (opening_ == Opening::kUnknown) {
    opening_ = OpeningOf(whole ? bytes : held_);
    if (kind_ == ApiKind::kResponses) NoteResponseId(whole ? bytes : held_);
  }
  if (opening_ == Opening::kAnswer && whole) {
    forward.push_back(bytes);
    FindJsonUsage(bytes);
    return;
  }
  if (whole) held_.assign(bytes);
  if (opening_ == Opening::kUnknown) return;
  if (opening_ == Opening::kError) {
    if (held_.size() <= kMostErrorBytes) return;
    error_.emplace();
    opening_ = Opening::kAnswer;
  }
  FindJsonUsage(held_);
  released_.swap(held_);
  held_.clear();
  forward.push_back(released_);
}

void ResponseStreamParser::FindJsonUsage(std::string_view bytes) {
  std::string_view text = bytes;
  if (!tail_.empty()) {
    tail_.append(bytes);
    text = tail_;
  }
  // Where a usage object may begin that is not whole yet.
  std::size_t keep = text.size() - std::min(text.size(), kUsageKey.size() + 1);
  for (std::size_t at = 0;;) {
    const std::size_t value = FindValue(text, kUsageKey, at);
    if (value == text.npos) {
      // The key itself may be here without its colon.
      const std::size_t key = text.rfind(kUsageKey);
      if (key != text.npos && key >= at &&
          text.find_first_not_of(kSpace, key + kUsageKey.size()) == text.npos) {
        keep = std::min(keep, key);
      }
      break;
    }
    Usage usage;
    const ParsedUsage parsed = ParseUsage(text.substr(value), usage);
    if (parsed == ParsedUsage::kCut) {
      keep = text.rfind(kUsageKey, value);
      break;
    }
    if (parsed == ParsedUsage::kWhole) usage_ = usage;
    at = value;
  }
  if (text.size() - keep > kMaxUsageBytes) keep = text.size();
  if (text.data() == tail_.data()) {
    tail_.erase(0, keep);
  } else {
    tail_.assign(text.substr(keep));
  }
}

// --- An event stream

void ResponseStreamParser::FeedEvents(std::string_view bytes,
                                      std::vector<std::string_view>& forward) {
  std::size_t at = RestOfHidden(bytes);
  std::size_t run = at;  // Whole events that go on together.
  if (overlong_) {
    const std::size_t end = LineEnd(bytes, at);
    overlong_ = end == bytes.npos;
    at = overlong_ ? bytes.size() : BehindLineEnd(bytes, end);
  } else if (!pending_.empty()) {
    run = at = FeedPending(bytes, forward);
    if (!pending_.empty()) return;
  }
  while (at < bytes.size()) {
    line_ = 0;
    open_data_ = false;
    const std::size_t end = EventEnd(bytes.substr(at), 0);
    if (end == bytes.npos) break;
    const std::string_view event = bytes.substr(at, end);
    const bool hidden = ReadEvent(event);
    if (hidden) {
      if (at > run) forward.push_back(bytes.substr(run, at - run));
      run = at + end;
      if (run == bytes.size()) NoteHidden(event);
    }
    at += end;
  }
  if (bytes.size() - at > kMaxEventBytes) {
    overlong_ = begun_ = true;
    at = bytes.size();
  }
  if (at > run) forward.push_back(bytes.substr(run, at - run));
  pending_.assign(bytes.substr(at));
}

// Completes the event that has begun with the next lines; returns how much of `bytes` it took.
std::size_t ResponseStreamParser::FeedPending(std::string_view bytes,
                                              std::vector<std::string_view>& forward) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = LineEnd(bytes, at);
    std::size_t next = end == bytes.npos ? bytes.size() : BehindLineEnd(bytes, end);
    // With the blank line that is behind it.
    if (end > at && next < bytes.size() && (bytes[next] == '\n' || bytes[next] == '\r')) {
      next = BehindLineEnd(bytes, next);
    }
    const std::string_view line = bytes.substr(at, next - at);
    at = next;
    if (pending_.size() + line.size() > kMaxEventBytes) {
      // Not read; passes on as it is.
      overlong_ = end == bytes.npos;
      begun_ = true;
      released_.swap(pending_);
      pending_.clear();
      forward.push_back(released_);
      forward.push_back(line);
      return at;
    }
    const std::size_t before = pending_.size();
    pending_.append(line);
    if (EventEnd(pending_, before) == pending_.npos) continue;
    released_.swap(pending_);
    pending_.clear();
    if (!ReadEvent(released_)) {
      forward.push_back(released_);
    } else {
      NoteHidden(released_);
      at += RestOfHidden(bytes.substr(at));
    }
    return at;
  }
  return bytes.size();
}

// The position behind the event that begins `text`; npos when its end has not come. Nothing ends
// before `from`, where an earlier call has stopped.
std::size_t ResponseStreamParser::EventEnd(std::string_view text, std::size_t from) {
  ended_early_ = false;
  for (;;) {
    // The second half of a line end that came in two pieces.
    if (line_ > 0 && line_ < text.size() && text[line_ - 1] == '\r' && text[line_] == '\n') ++line_;
    const std::size_t end = LineEnd(text, std::max(from, line_));
    if (end == text.npos) return text.npos;
    const std::size_t next = BehindLineEnd(text, end);
    if (end == line_) return next;
    if (next < text.size() && (text[next] == '\n' || text[next] == '\r')) {
      return BehindLineEnd(text, next);
    }
    if (EndsEvent(text.substr(line_, end - line_))) {
      ended_early_ = true;
      return next;
    }
    line_ = next;
  }
}

// Whether an event with this line is whole without a blank line behind it.
bool ResponseStreamParser::EndsEvent(std::string_view line) {
  if (open_data_) return false;
  std::string_view value;
  if (TakeField(line, "data:", value)) {
    open_data_ = !IsWholeData(value);
    return !open_data_;
  }
  return !line.starts_with("event:") && !line.starts_with("id:") && !line.starts_with("retry:");
}

// How much of `bytes` is what NoteHidden waits for.
std::size_t ResponseStreamParser::RestOfHidden(std::string_view bytes) {
  if (bytes.empty()) return 0;
  std::size_t at = 0;
  if (std::exchange(skip_lf_, false) && bytes.starts_with('\n')) at = 1;
  if (!skip_blank_ || at == bytes.size()) return at;
  skip_blank_ = false;
  if (bytes[at] != '\n' && bytes[at] != '\r') return at;
  const std::size_t behind = BehindLineEnd(bytes, at);
  skip_lf_ = bytes[at] == '\r' && behind == bytes.size();
  return behind;
}

// `event` is hidden, and nothing is behind it yet: what may come of its end is hidden too.
void ResponseStreamParser::NoteHidden(std::string_view event) {
  skip_lf_ = event.ends_with('\r');
  skip_blank_ = ended_early_;
}

// The id of a response object that begins here, if it is one of the first fields.
void ResponseStreamParser::NoteResponseId(std::string_view json) {
  JsonCursor cursor(json.substr(0, kMostOpeningBytes));
  if (!cursor.Take('{')) return;
  std::string_view key;
  for (bool first = true; cursor.NextKey(key, first); first = false) {
    if (key != "id") {
      cursor.Skip();
      continue;
    }
    const std::string_view id = cursor.Peek() == '"' ? cursor.String() : std::string_view();
    if (cursor.ok()) response_id_ = id;
    return;
  }
}

// True when the event is to be hidden.
bool ResponseStreamParser::ReadEvent(std::string_view event) {
  std::string_view name;
  std::string_view data;
  std::string joined;  // Data in several lines, which is rare.
  int lines = 0;
  while (!event.empty()) {
    const std::size_t end = std::min(LineEnd(event, 0), event.size());
    const std::string_view line = event.substr(0, end);
    event.remove_prefix(end < event.size() ? BehindLineEnd(event, end) : end);
    std::string_view value;
    if (TakeField(line, "data:", value)) {
      if (++lines == 2) joined = data;
      if (lines >= 2) joined.append("\n").append(value);
      data = lines >= 2 ? std::string_view(joined) : value;
    } else if (TakeField(line, "event:", value)) {
      name = value;
    } else if (TakeField(line, "error:", value)) {
      // An error as llama.cpp used to write it.
      error_ = EngineError{};
    }
  }
  return lines > 0 && ReadData(name, data);
}

}  // namespace headrace::openai
