// The kinds of characters that HTTP/1 is made of.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace headrace::net {

enum class Characters : std::uint8_t {
  kToken = 1,   // Names of fields, methods, codings (RFC 9110 §5.6.2).
  kTarget = 2,  // A URI's, and those that browsers leave as they are; no fragment.
  kValue = 4,   // A field's value: visible, blank, or above 127 (RFC 9110 §5.5).
  kHost = 8,    // A registered name's.
};

inline constexpr std::array<std::uint8_t, 256> kCharacters = [] {
  std::array<std::uint8_t, 256> kinds = {};
  const auto add = [&](std::string_view characters, Characters kind) {
    for (const char c : characters) {
      kinds[static_cast<unsigned char>(c)] |= static_cast<std::uint8_t>(kind);
    }
  };
  for (int c = 0x21; c < 0x100; ++c) {
    const char character = static_cast<char>(c);
    const std::string_view one(&character, 1);
    const bool delimits = std::string_view("\\\"<>#").find(character) != std::string_view::npos;
    if (c < 0x7F && !delimits) add(one, Characters::kTarget);
    if (c != 0x7F) add(one, Characters::kValue);
  }
  add(" \t", Characters::kValue);
  for (const Characters kind : {Characters::kToken, Characters::kHost}) {
    add("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", kind);
  }
  add("!#$%&'*+-.^_`|~", Characters::kToken);
  add("-._~%", Characters::kHost);
  return kinds;
}();

constexpr bool Is(char c, Characters kind) {
  return (kCharacters[static_cast<unsigned char>(c)] & static_cast<std::uint8_t>(kind)) != 0;
}

constexpr bool AllAre(std::string_view text, Characters kind) {
  for (const char c : text) {
    if (!Is(c, kind)) return false;
  }
  return true;
}

}  // namespace headrace::net
