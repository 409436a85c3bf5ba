#include "net/chunk_decoder.h"

#include <algorithm>
#include <cstring>

#include "net/characters.h"

namespace headrace::net {
namespace {

// −1 when it is none.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

// What may follow a whole extension or a size.
ChunkDecoder::State ChunkDecoder::AfterExtension(char c) const {
  return c == ';' ? State::kExtensionStart : c == '\r' ? State::kSizeLineFeed : State::kFailed;
}

// The state after a byte of framing.
ChunkDecoder::State ChunkDecoder::Next(char c) {
  switch (state_) {
    case State::kSize:
    case State::kSizeDigits: {
      const int digit = HexDigit(c);
      if (digit < 0) return state_ == State::kSize ? State::kFailed : AfterExtension(c);
      // More than 2^56 is no size that anybody sends; far below overflow.
      if (left_ >> 52 != 0) return State::kFailed;
      left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
      return State::kSizeDigits;
    }
    case State::kExtensionStart:
      return Is(c, Characters::kToken) ? State::kExtensionName : State::kFailed;
    case State::kExtensionName:
      if (Is(c, Characters::kToken)) return State::kExtensionName;
      return c == '=' ? State::kExtensionValue : AfterExtension(c);
    case State::kExtensionValue:
      if (c == '"') return State::kQuoted;
      return Is(c, Characters::kToken) ? State::kExtensionToken : State::kFailed;
    case State::kExtensionToken:
      return Is(c, Characters::kToken) ? State::kExtensionToken : AfterExtension(c);
    case State::kQuoted:
      if (c == '"') return State::kQuoteEnd;
      if (c == '\\') return State::kQuotedPair;
      return Is(c, Characters::kValue) ? State::kQuoted : State::kFailed;
    case State::kQuotedPair:
      return Is(c, Characters::kValue) ? State::kQuoted : State::kFailed;
    case State::kQuoteEnd:
      return AfterExtension(c);
    case State::kSizeLineFeed:
      overhead_ = 0;
      if (c != '\n') return State::kFailed;
      return left_ > 0 ? State::kData : State::kTrailerStart;
    case State::kDataReturn:
      overhead_ = 0;
      return c == '\r' ? State::kDataLineFeed : State::kFailed;
    case State::kDataLineFeed:
      return c == '\n' ? State::kSize : State::kFailed;
    case State::kTrailerStart:
      if (c == '\r') return State::kLastLineFeed;
      return Is(c, Characters::kToken) ? State::kTrailerName : State::kFailed;
    case State::kTrailerName:
      if (Is(c, Characters::kToken)) return State::kTrailerName;
      return c == ':' ? State::kTrailer : State::kFailed;
    case State::kTrailer:
      if (c == '\r') return State::kTrailerLineFeed;
      return Is(c, Characters::kValue) ? State::kTrailer : State::kFailed;
    case State::kTrailerLineFeed:
      return c == '\n' ? State::kTrailerStart : State::kFailed;
    case State::kLastLineFeed:
      return c == '\n' ? State::kDone : State::kFailed;
    case State::kData:
    case State::kDone:
    case State::kFailed:
      break;
  }
  return state_;
}

ChunkDecoder::Step ChunkDecoder::Decode(char* data, std::size_t size) {
  std::size_t at = 0;
  std::size_t produced = 0;
  while (at < size && state_ != State::kDone && state_ != State::kFailed) {
    if (state_ == State::kData) {
      const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(left_, size - at));
      if (produced != at) std::memmove(data + produced, data + at, take);
      produced += take;
      at += take;
      left_ -= take;
      if (left_ == 0) state_ = State::kDataReturn;
    } else {
      state_ = ++overhead_ > kMaxOverhead ? State::kFailed : Next(data[at++]);
    }
  }
  return {at, produced};
}

}  // namespace headrace::net
