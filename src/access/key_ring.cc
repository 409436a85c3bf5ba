#include "access/key_ring.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace headrace::access {
namespace {

// When a place may be free again: nobody knows, so clients are not to ask at once.
constexpr Seconds kRetryInFlight = 1;

void SetRate(std::optional<TokenBucket>& bucket, const std::optional<double>& per_minute,
             Seconds now) {
  if (!per_minute) {
    bucket.reset();
  } else if (bucket) {
    bucket->SetRate(*per_minute, now);
  } else {
    bucket.emplace(*per_minute);
  }
}

std::optional<RateUse> UseOf(const std::optional<TokenBucket>& bucket, Seconds now) {
  if (!bucket) return std::nullopt;
  return RateUse{.limit = bucket->per_minute(),
                 .remaining = std::max(0.0, bucket->Level(now)),
                 .full_after = bucket->Until(bucket->per_minute(), now)};
}

}  // namespace

std::size_t KeyRing::HashOfHash::operator()(const KeyHash& hash) const {
  std::size_t first = 0;
  std::memcpy(&first, hash.data(), sizeof first);
  return first;
}

void KeyRing::Set(const KeyFile& file, Seconds now) {
  salt_ = file.salt;
  by_hash_.clear();
  for (auto& [name, account] : accounts_) account.known = false;
  for (const ApiKey& key : file.keys) {
    by_hash_[key.hash] = std::make_shared<const ApiKey>(key);
    Account& account = accounts_[key.name];
    account.known = true;
    SetRate(account.requests, key.requests_per_minute, now);
    SetRate(account.tokens, key.tokens_per_minute, now);
  }
  std::erase_if(accounts_,
                [](const auto& each) { return !each.second.known && each.second.in_flight == 0; });
}

std::shared_ptr<const ApiKey> KeyRing::Find(std::string_view text) const {
  const KeyHash hash = HashOfKey(salt_, text);
  // What a client learns from how long this takes is a part of a hash that it cannot choose.
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end() || !SameHash(found->first, hash)) return nullptr;
  return found->second;
}

std::optional<KeyRing::Refusal> KeyRing::Begin(const ApiKey& key, Tokens prompt, Seconds now) {
  Account& account = accounts_[key.name];
  if (!account.known) {  // Revoked since it was found: its last one.
    ++account.in_flight;
    return std::nullopt;
  }
  if (key.max_in_flight && account.in_flight >= *key.max_in_flight) {
    return Refusal{Exceeded::kInFlight, static_cast<double>(*key.max_in_flight), kRetryInFlight};
  }
  if (account.requests && !account.requests->Has(1, now)) {
    return Refusal{Exceeded::kRequests, account.requests->per_minute(),
                   account.requests->Until(1, now)};
  }
  if (account.tokens && !account.tokens->Has(prompt, now)) {
    return Refusal{Exceeded::kTokens, account.tokens->per_minute(),
                   account.tokens->Until(prompt, now)};
  }
  ++account.in_flight;
  if (account.requests) account.requests->Take(1, now);
  if (account.tokens) account.tokens->Take(prompt, now);
  return std::nullopt;
}

void KeyRing::End(const ApiKey& key, Tokens prompt, std::int64_t tokens, Seconds now) {
  const auto found = accounts_.find(key.name);
  if (found == accounts_.end()) return;
  Account& account = found->second;
  --account.in_flight;
  if (account.tokens) account.tokens->Take(static_cast<double>(tokens - prompt), now);
  if (!account.known && account.in_flight == 0) accounts_.erase(found);
}

KeyUse KeyRing::Use(const ApiKey& key, Seconds now) const {
  const auto found = accounts_.find(key.name);
  if (found == accounts_.end()) return {};
  return {.requests = UseOf(found->second.requests, now),
          .tokens = UseOf(found->second.tokens, now)};
}

}  // namespace headrace::access
