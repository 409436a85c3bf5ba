// The chunked transfer coding (RFC 9112 §7.1), taken off in place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace headrace::net {

// Fed with the bytes after a head, cut anywhere. Chunk extensions and trailers are checked and
// skipped; both are bounded, so a sender can't keep the reader busy for nothing. Blanks in a size
// line, which some old senders padded it with, are an error: where they end is read differently.
class ChunkDecoder {
 public:
  struct Step {
    std::size_t consumed;  // Bytes of the input that are done with; less than all only at the end.
    std::size_t produced;  // Body bytes, now at the beginning of the input's memory.
  };

  // Takes the framing off data[0, size), moving the body bytes together at the front.
  Step Decode(char* data, std::size_t size);

  bool done() const { return state_ == State::kDone; }
  bool failed() const { return state_ == State::kFailed; }

 private:
  enum class State : std::uint8_t {
    kSize,            // Before the first hex digit.
    kSizeDigits,      // After one.
    kExtensionStart,  // After a semicolon: a name must come.
    kExtensionName,
    kExtensionValue,  // After an equals sign: a token or a quoted string must come.
    kExtensionToken,
    kQuoted,
    kQuotedPair,    // After a backslash.
    kQuoteEnd,      // After the closing quote.
    kSizeLineFeed,  // After the CR of the size line.
    kData,          //
    kDataReturn,    // At the CR after the data.
    kDataLineFeed,  //
    kTrailerStart,  // At the beginning of a trailer line, or of the empty line.
    kTrailerName,   // Before its colon.
    kTrailer,       // Behind it.
    kTrailerLineFeed,
    kLastLineFeed,
    kDone,
    kFailed,
  };
  static constexpr std::uint32_t kMaxOverhead =
      16 * 1024;  // A size line's, or all trailers', bytes.

  State Next(char c);
  State AfterExtension(char c) const;

  State state_ = State::kSize;
  std::uint32_t overhead_ = 0;
  std::uint64_t left_ = 0;  // Of the chunk; while its size is read, the size so far.
};

}  // namespace headrace::net
