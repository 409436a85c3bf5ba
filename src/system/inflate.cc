#include "system/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

namespace headrace::system {
namespace {

// zlib's: the largest window, and either format by its first bytes.
constexpr int kAnyWindow = 15;
constexpr int kGzipOrZlib = 32;
constexpr std::size_t kMostAtOnce = std::numeric_limits<uInt>::max();

}  // namespace

struct Unpacker::Stream {
  z_stream zlib{};
  bool usable = false;
  bool at_end = false;  // Of one that more may follow.
};

Unpacker::Unpacker(std::string_view packed) : stream_(std::make_unique<Stream>()) {
  z_stream& zlib = stream_->zlib;
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  zlib.avail_in = static_cast<uInt>(std::min(packed.size(), kMostAtOnce));
  stream_->usable =
      packed.size() <= kMostAtOnce && inflateInit2(&zlib, kAnyWindow + kGzipOrZlib) == Z_OK;
}

Unpacker::~Unpacker() { inflateEnd(&stream_->zlib); }

Unpacker::Result Unpacker::UnpackTo(std::size_t size, std::string& unpacked) {
  if (!stream_->usable) return Result::kBroken;
  z_stream& zlib = stream_->zlib;
  std::size_t filled = unpacked.size();
  unpacked.resize(std::max(size, filled));
  Result result = Result::kFull;
  while (filled < unpacked.size()) {
    zlib.next_out = reinterpret_cast<Bytef*>(unpacked.data() + filled);
    zlib.avail_out = static_cast<uInt>(std::min(unpacked.size() - filled, kMostAtOnce));
    const int code = inflate(&zlib, Z_NO_FLUSH);
    filled = static_cast<std::size_t>(reinterpret_cast<char*>(zlib.next_out) - unpacked.data());
    if (code == Z_STREAM_END && zlib.avail_in == 0) {
      result = Result::kDone;
      break;
    }
    // Several one after the other are one (RFC 1952 §2.2).
    const bool goes_on =
        code == Z_STREAM_END ? inflateReset(&zlib) == Z_OK : code == Z_OK && zlib.avail_out == 0;
    if (!goes_on) {
      result = Result::kBroken;
      break;
    }
  }
  unpacked.resize(filled);
  return result;
}

}  // namespace headrace::system
