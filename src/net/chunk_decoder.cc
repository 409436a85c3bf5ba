#include "net/chunk_decoder.h"

#include <algorithm>
#include <cstring>

namespace headrace::net {
namespace {

// −1 when it is none.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

ChunkDecoder::State ChunkDecoder::Skip(State on) {
  return ++overhead_ > kMaxOverhead ? State::kFailed : on;
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
      continue;
    }
    const char c = data[at++];
    switch (state_) {
      case State::kSize:
      case State::kSizeDigits: {
        const int digit = HexDigit(c);
        if (digit >= 0) {
          // More than 2^56 is no size that anybody sends; far below overflow.
          if (left_ >> 52 != 0) return state_ = State::kFailed, Step{at, produced};
          left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
          state_ = State::kSizeDigits;
        } else if (state_ == State::kSize) {
          state_ = State::kFailed;
        } else if (c == '\r') {
          state_ = State::kSizeLineFeed;
        } else {
          overhead_ = 0;
          state_ = c == ';' || c == ' ' || c == '\t' ? State::kExtension : State::kFailed;
        }
        break;
      }
      case State::kExtension:
        state_ = c == '\n'   ? State::kFailed
                 : c == '\r' ? State::kSizeLineFeed
                             : Skip(State::kExtension);
        break;
      case State::kSizeLineFeed:
        overhead_ = 0;
        state_ = c != '\n' ? State::kFailed : left_ > 0 ? State::kData : State::kTrailerStart;
        break;
      case State::kDataReturn:
        state_ = c == '\r' ? State::kDataLineFeed : State::kFailed;
        break;
      case State::kDataLineFeed:
        state_ = c == '\n' ? State::kSize : State::kFailed;
        break;
      case State::kTrailerStart:
        state_ = c == '\r' ? State::kLastLineFeed : Skip(State::kTrailer);
        break;
      case State::kTrailer:
        state_ = c == '\r' ? State::kTrailerLineFeed : Skip(State::kTrailer);
        break;
      case State::kTrailerLineFeed:
        state_ = c == '\n' ? State::kTrailerStart : State::kFailed;
        break;
      case State::kLastLineFeed:
        state_ = c == '\n' ? State::kDone : State::kFailed;
        break;
      case State::kData:
      case State::kDone:
      case State::kFailed:
        break;
    }
  }
  return {at, produced};
}

}  // namespace headrace::net
