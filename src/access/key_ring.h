// The keys in force, and what has been used of their limits.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "access/api_key.h"
#include "access/token_bucket.h"
#include "base/units.h"

namespace headrace::access {

// How far one of a key's rates is used.
struct RateUse {
  double limit = 0;
  double remaining = 0;    // Never below 0.
  Seconds full_after = 0;  // Until all of the limit is there again.
};

struct KeyUse {
  std::optional<RateUse> requests;
  std::optional<RateUse> tokens;
};

// What a process has let through of a key with a limit, for others that share its limits.
struct KeySpending {
  std::string name;
  std::int64_t requests = 0;  // Ever, …
  std::int64_t tokens = 0;    // … and what they came to.
  int in_flight = 0;          // Now.

  bool operator==(const KeySpending&) const = default;
};

// Why a request may not go on now.
enum class Exceeded { kRequests, kTokens, kInFlight };

// Not thread-safe. Times are those of any monotonic clock.
class KeyRing {
 public:
  // Replaces the keys. One that stays, by its name, keeps what it has used. One that goes keeps
  // what it has in flight until that has ended: it may come back.
  void Set(const KeyFile& file, Seconds now);

  // The key with this text; null if there is none.
  std::shared_ptr<const ApiKey> Find(std::string_view text) const;

  // A request of this key with `prompt` tokens or so goes on and counts; or the limit that it would
  // exceed, and when to try again. Every request that goes on ends once.
  struct Refusal {
    Exceeded what = Exceeded::kRequests;
    double limit = 0;  // As it is in force.
    Seconds retry_after = 0;
  };
  std::optional<Refusal> Begin(const ApiKey& key, Tokens prompt, Seconds now);
  // It has ended; `tokens`: what its prompt and its response came to.
  void End(const ApiKey& key, Tokens prompt, std::int64_t tokens, Seconds now);
  KeyUse Use(const ApiKey& key, Seconds now) const;
  std::size_t size() const { return by_hash_.size(); }

  // --- Limits that several processes share: each takes from its own buckets what the others let
  // through, as it hears of it.

  // Of the keys that were used since the last call; `all`: of those that ever were.
  std::vector<KeySpending> TakeSpending(bool all);
  // What the process of this name tells; `all`: of all keys. It is known from the first time on
  // that it tells all: what it let through before that counts for nothing.
  void Hear(const std::string& process, std::span<const KeySpending> spendings, bool all,
            Seconds now);
  // Drops those that were silent for so long, and what they have in flight.
  void ForgetSilent(Seconds silence, Seconds now);
  // So many processes share the limits and cannot hear each other: each has an equal part of them.
  // 1 while they can.
  void SetParts(int parts, Seconds now);

 private:
  struct HashOfHash {
    std::size_t operator()(const KeyHash& hash) const;
  };
  struct Account {
    std::optional<TokenBucket> requests;
    std::optional<TokenBucket> tokens;
    KeySpending own;
    int in_flight_elsewhere = 0;
    bool told = true;    // Nothing has changed since TakeSpending.
    bool known = false;  // There is a key of this name.
  };
  struct Process {
    Seconds heard = 0;
    std::map<std::string, KeySpending, std::less<>> spendings;  // By the key's name, as last told.
  };

  void Forget(const Process& process);

  std::string salt_;
  std::unordered_map<KeyHash, std::shared_ptr<const ApiKey>, HashOfHash> by_hash_;
  std::map<std::string, Account, std::less<>> accounts_;  // By the key's name.
  std::map<std::string, Process> others_;                 // By name.
  int parts_ = 1;
};

}  // namespace headrace::access
