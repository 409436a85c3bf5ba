// Keys by which clients are known, and what each may do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace::access {

// SHA-256 of a salt and a key. A key that this program makes has 200 random bits, so a hash that is
// quick to compute cannot be guessed; what others choose as a key has to be as hard to guess.
using KeyHash = std::array<std::uint8_t, 32>;

// What one key may do.
struct ApiKey {
  std::string name;  // In logs, metrics and limits; the key itself is in none.
  KeyHash hash = {};
  std::string tenant;               // Whose share its requests count into; "": the key's own.
  std::vector<std::string> models;  // That it may use; none: all.
  std::optional<double> requests_per_minute;
  std::optional<double> tokens_per_minute;  // Of prompts and responses together.
  std::optional<int> max_in_flight;         // Requests that wait or run at a time.
  int priority = 0;                         // Added to that of a request's objective.

  bool MayUse(std::string_view model) const;
  const std::string& Tenant() const { return tenant.empty() ? name : tenant; }
  bool operator==(const ApiKey&) const = default;
};

// A file of keys.
struct KeyFile {
  std::string salt;  // Any bytes; the same for all of its keys, so that one is found by its hash.
  std::vector<ApiKey> keys;
  bool operator==(const KeyFile&) const = default;
};

// An error if OpenSSL has no SHA-256, as where its configuration names no provider of it. To be
// asked where keys are read, so that no request meets it.
Result<void> CheckKeyHash();
// Throws std::runtime_error in that case.
KeyHash HashOfKey(std::string_view salt, std::string_view key);
// Takes as long whether they differ early or late.
bool SameHash(const KeyHash& one, const KeyHash& other);

// "hr_" and 40 letters and digits, made of 25 random bytes.
std::string MakeApiKey(std::span<const std::uint8_t, 25> random);

// Two digits a byte, lower case.
std::string ToHex(std::span<const std::uint8_t> bytes);
// Exactly this many bytes; nullopt if the text is anything else.
std::optional<std::vector<std::uint8_t>> FromHex(std::string_view text, std::size_t bytes);

}  // namespace headrace::access
