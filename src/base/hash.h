// One number for a text.
#pragma once

#include <cstdint>
#include <string_view>

namespace headrace {

// FNV-1a with 64 bits: the same on every machine, and no secret. Texts that somebody chooses for
// that purpose can have the same hash.
constexpr std::uint64_t HashOf(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace headrace
