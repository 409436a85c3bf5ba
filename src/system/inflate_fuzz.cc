// Fuzzes the unpacking of what clients send: in whatever steps, it comes to the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "system/inflate.h"

namespace {

using headrace::system::Unpacker;

constexpr std::size_t kMost = std::size_t{1} << 20;

Unpacker::Result Unpack(std::string_view packed, std::size_t step, std::string& unpacked) {
  Unpacker unpacker(packed);
  for (;;) {
    const auto result = unpacker.UnpackTo(std::min(unpacked.size() + step, kMost), unpacked);
    if (unpacked.size() > kMost) std::abort();
    if (result != Unpacker::Result::kFull || unpacked.size() == kMost) return result;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view packed(reinterpret_cast<const char*>(data), size);
  std::string whole;
  std::string in_steps;
  const auto result = Unpack(packed, kMost, whole);
  if (Unpack(packed, 4099, in_steps) != result) std::abort();
  if (in_steps != whole) std::abort();
  return 0;
}
