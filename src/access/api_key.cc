#include "access/api_key.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace headrace::access {
namespace {

// RFC 4648 §6 in lower case: no digits that look like letters.
constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kHex = "0123456789abcdef";

constexpr const char* kNoHash =
    "OpenSSL gives no SHA-256, by which keys are known; check its configuration (openssl.cnf)";

// False if OpenSSL cannot.
bool Hash(std::string_view salt, std::string_view key, KeyHash& hash) {
  // To look for an algorithm takes OpenSSL longer than to hash a key with it.
  static EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  thread_local const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                                EVP_MD_CTX_free);
  const bool hashed = sha256 != nullptr && context != nullptr &&
                      EVP_DigestInit_ex2(context.get(), sha256, nullptr) == 1 &&
                      EVP_DigestUpdate(context.get(), salt.data(), salt.size()) == 1 &&
                      EVP_DigestUpdate(context.get(), key.data(), key.size()) == 1 &&
                      EVP_DigestFinal_ex(context.get(), hash.data(), nullptr) == 1;
  if (!hashed) ERR_clear_error();
  return hashed;  // OpenSSL's part of it keeps nothing of the key.
}

}  // namespace

bool ApiKey::MayUse(std::string_view model) const {
  return models.empty() || std::ranges::find(models, model) != models.end();
}

Result<void> CheckKeyHash() {
  KeyHash hash{};
  if (!Hash("", "", hash)) return Fail(kNoHash);
  return {};
}

KeyHash HashOfKey(std::string_view salt, std::string_view key) {
  KeyHash hash{};
  // A hash that is none would be the same for every key.
  if (!Hash(salt, key, hash)) throw std::runtime_error(kNoHash);
  return hash;
}

bool SameHash(const KeyHash& one, const KeyHash& other) {
  return CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::string MakeApiKey(std::span<const std::uint8_t, 25> random) {
  std::string key = "hr_";
  std::uint64_t bits = 0;
  int count = 0;
  for (const std::uint8_t byte : random) {
    bits = bits << 8 | byte;
    for (count += 8; count >= 5; count -= 5) key += kBase32[bits >> (count - 5) & 31];
  }
  return key;
}

std::string ToHex(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

std::optional<std::vector<std::uint8_t>> FromHex(std::string_view text, std::size_t bytes) {
  if (text.size() != 2 * bytes) return std::nullopt;
  std::vector<std::uint8_t> result;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const std::size_t high = kHex.find(text[i]);
    const std::size_t low = kHex.find(text[i + 1]);
    if (high == kHex.npos || low == kHex.npos) return std::nullopt;
    result.push_back(static_cast<std::uint8_t>(high << 4 | low));
  }
  return result;
}

}  // namespace headrace::access
