#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "openai/json_text.h"

namespace headrace::openai {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// As find, for a short text in quotes. Blocks in which its first and its last character have their
// distance are rare in JSON, so sixteen characters cost a nanosecond.
std::size_t FindQuoted(std::string_view text, std::string_view quoted, std::size_t from) {
#ifdef __SSE2__
  const std::size_t last = quoted.size() - 1;
  const __m128i quote = _mm_set1_epi8('"');
  const auto load = [&](std::size_t at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + at));
  };
  for (; from + last + 16 <= text.size(); from += 16) {
    const __m128i both =
        _mm_and_si128(_mm_cmpeq_epi8(load(from), quote), _mm_cmpeq_epi8(load(from + last), quote));
    for (auto bits = static_cast<unsigned>(_mm_movemask_epi8(both)); bits != 0; bits &= bits - 1) {
      const std::size_t at = from + static_cast<std::size_t>(std::countr_zero(bits));
      if (std::memcmp(text.data() + at, quoted.data(), quoted.size()) == 0) return at;
    }
  }
#endif
  return text.find(quoted, from);
}

}  // namespace

char JsonCursor::Peek() {
  while (at_ != end_ && IsSpace(*at_)) ++at_;
  return at_ == end_ ? '\0' : *at_;
}

bool JsonCursor::Take(char c) {
  if (at_ == end_ || Peek() != c || at_ == end_) return false;
  ++at_;
  return true;
}

std::string_view JsonCursor::String() {
  if (!Take('"')) {
    Fail();
    return {};
  }
  const char* const begin = at_;
  while (at_ != end_ && *at_ != '"') {
    if (*at_ == '\\' && at_ + 1 != end_) ++at_;
    ++at_;
  }
  if (at_ == end_) {
    Fail();
    return {};
  }
  const auto size = static_cast<std::size_t>(at_ - begin);
  ++at_;
  return {begin, size};
}

std::optional<std::int64_t> JsonCursor::Count(std::int64_t most) {
  Peek();
  const char* const begin = at_;
  Skip();
  double value = 0;
  const auto [stopped, error] = std::from_chars(begin, at_, value);
  if (!ok_ || error != std::errc{} || stopped != at_) return std::nullopt;
  if (!(value >= 0 && value <= static_cast<double>(most)) || value != std::floor(value)) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(value);
}

void JsonCursor::Skip() {
  int depth = 0;
  do {
    const char c = Peek();
    if (at_ == end_) return Fail();
    if (c == '"') {
      String();
      if (!ok_) return;
    } else if (c == '{' || c == '[') {
      ++depth;
      ++at_;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return Fail();
      --depth;
      ++at_;
    } else if (c == ',' || c == ':') {
      if (depth == 0) return Fail();
      ++at_;
    } else {
      constexpr std::string_view kEnds = ",:]} \t\r\n";
      do {
        ++at_;
      } while (at_ != end_ && kEnds.find(*at_) == kEnds.npos);
    }
  } while (depth > 0);
}

bool JsonCursor::NextKey(std::string_view& key, bool first) {
  if (Take('}')) return false;
  if (!first && !Take(',')) {
    Fail();
    return false;
  }
  key = String();
  if (!ok_ || !Take(':')) Fail();
  return ok_;
}

std::size_t FindValue(std::string_view json, std::string_view name, std::size_t from) {
  while (from < json.size()) {
    const std::size_t found = FindQuoted(json, name, from);
    if (found == json.npos) return json.npos;
    from = found + name.size();
    std::size_t at = from;
    while (at < json.size() && IsSpace(json[at])) ++at;
    if (at == json.size() || json[at] != ':') {
      --from;  // In broken JSON, the quote that closes one name may open the next.
      continue;
    }
    ++at;
    while (at < json.size() && IsSpace(json[at])) ++at;
    return at;
  }
  return json.npos;
}

}  // namespace headrace::openai
