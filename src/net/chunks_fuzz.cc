// Fuzzes the chunked coding: cut anywhere, it comes to the same.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/chunk_decoder.h"

namespace headrace::net {
namespace {

struct Decoded {
  std::string body;
  std::size_t consumed = 0;
  bool done = false;
  bool failed = false;

  bool operator==(const Decoded&) const = default;
};

Decoded Decode(std::string_view bytes, std::size_t piece) {
  ChunkDecoder decoder;
  Decoded decoded;
  while (decoded.consumed < bytes.size() && !decoder.done() && !decoder.failed()) {
    std::string part(bytes.substr(decoded.consumed, piece));
    const ChunkDecoder::Step step = decoder.Decode(part.data(), part.size());
    if (step.consumed > part.size() || step.produced > step.consumed) std::abort();
    if (step.consumed < part.size() && !decoder.done() && !decoder.failed()) std::abort();
    decoded.body += part.substr(0, step.produced);
    decoded.consumed += step.consumed;
  }
  decoded.done = decoder.done();
  decoded.failed = decoder.failed();
  // How far it came is of interest only where the next message begins.
  if (decoded.failed) decoded.consumed = 0, decoded.body.clear();
  return decoded;
}

}  // namespace
}  // namespace headrace::net

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = std::max<std::size_t>(1, data[0] % 32);
  if (headrace::net::Decode(bytes, bytes.size() + 1) != headrace::net::Decode(bytes, piece)) {
    std::abort();
  }
  return 0;
}
