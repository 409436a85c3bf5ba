#include "access/key_ring.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace headrace::access {
namespace {

// When a place may be free again: nobody knows, so clients are not to ask at once.
constexpr Seconds kRetryInFlight = 1;

void SetRate(std::optional<TokenBucket>& bucket, const std::optional<double>& per_minute, int parts,
             Seconds now) {
  if (!per_minute) {
    bucket.reset();
  } else if (bucket) {
    bucket->SetRate(*per_minute / parts, now);
  } else {
    bucket.emplace(*per_minute / parts);
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
    account.own.name = key.name;
    SetRate(account.requests, key.requests_per_minute, parts_, now);
    SetRate(account.tokens, key.tokens_per_minute, parts_, now);
  }
  std::erase_if(accounts_, [](const auto& each) {
    return !each.second.known && each.second.own.in_flight == 0;
  });
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
    ++account.own.in_flight;
    return std::nullopt;
  }
  if (key.max_in_flight) {
    const int limit = std::max(1, *key.max_in_flight / parts_);
    if (account.own.in_flight + account.in_flight_elsewhere >= limit) {
      return Refusal{Exceeded::kInFlight, static_cast<double>(limit), kRetryInFlight};
    }
  }
  if (account.requests && !account.requests->Has(1, now)) {
    return Refusal{Exceeded::kRequests, account.requests->per_minute(),
                   account.requests->Until(1, now)};
  }
  if (account.tokens && !account.tokens->Has(prompt, now)) {
    return Refusal{Exceeded::kTokens, account.tokens->per_minute(),
                   account.tokens->Until(prompt, now)};
  }
  ++account.own.in_flight;
  ++account.own.requests;
  account.own.tokens += prompt;
  account.told = false;
  if (account.requests) account.requests->Take(1, now);
  if (account.tokens) account.tokens->Take(prompt, now);
  return std::nullopt;
}

void KeyRing::End(const ApiKey& key, Tokens prompt, std::int64_t tokens, Seconds now) {
  const auto found = accounts_.find(key.name);
  if (found == accounts_.end()) return;
  Account& account = found->second;
  --account.own.in_flight;
  account.own.tokens += tokens - prompt;
  account.told = false;
  if (account.tokens) account.tokens->Take(static_cast<double>(tokens - prompt), now);
  if (!account.known && account.own.in_flight == 0) accounts_.erase(found);
}

KeyUse KeyRing::Use(const ApiKey& key, Seconds now) const {
  const auto found = accounts_.find(key.name);
  if (found == accounts_.end()) return {};
  return {.requests = UseOf(found->second.requests, now),
          .tokens = UseOf(found->second.tokens, now)};
}

// --- Shared limits

std::vector<KeySpending> KeyRing::TakeSpending(bool all) {
  std::vector<KeySpending> spendings;
  for (auto& [name, account] : accounts_) {
    if (all ? account.own.requests > 0 : !account.told) spendings.push_back(account.own);
    account.told = true;
  }
  return spendings;
}

void KeyRing::Hear(const std::string& process, std::span<const KeySpending> spendings, bool all,
                   Seconds now) {
  const bool is_new = !others_.contains(process);
  if (is_new && !all) return;
  Process& other = others_[process];
  other.heard = now;
  for (const KeySpending& spending : spendings) {
    const auto found = accounts_.find(spending.name);
    if (found == accounts_.end()) continue;  // A key that is not known here, at least not yet.
    Account& account = found->second;
    const KeySpending before = std::exchange(other.spendings[spending.name], spending);
    account.in_flight_elsewhere =
        std::max(0, account.in_flight_elsewhere + spending.in_flight - before.in_flight);
    // It counts from 0 again where the key had gone.
    if (is_new || spending.requests < before.requests) continue;
    if (account.requests) {
      account.requests->Take(static_cast<double>(spending.requests - before.requests), now);
    }
    if (account.tokens) {
      account.tokens->Take(static_cast<double>(spending.tokens - before.tokens), now);
    }
  }
}

void KeyRing::ForgetSilent(Seconds silence, Seconds now) {
  std::erase_if(others_, [&](const auto& entry) {
    if (now - entry.second.heard < silence) return false;
    Forget(entry.second);
    return true;
  });
}

void KeyRing::Forget(const Process& process) {
  for (const auto& [name, spending] : process.spendings) {
    const auto found = accounts_.find(name);
    if (found == accounts_.end()) continue;
    int& elsewhere = found->second.in_flight_elsewhere;
    elsewhere = std::max(0, elsewhere - spending.in_flight);
  }
}

void KeyRing::SetParts(int parts, Seconds now) {
  if (parts == parts_) return;
  parts_ = parts;
  for (const auto& [hash, key] : by_hash_) {
    Account& account = accounts_[key->name];
    SetRate(account.requests, key->requests_per_minute, parts_, now);
    SetRate(account.tokens, key->tokens_per_minute, parts_, now);
  }
}

}  // namespace headrace::access
