// The keys in force, and what has been used of their limits.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
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

 private:
  struct HashOfHash {
    std::size_t operator()(const KeyHash& hash) const;
  };
  struct Account {
    std::optional<TokenBucket> requests;
    std::optional<TokenBucket> tokens;
    int in_flight = 0;
    bool known = false;  // There is a key of this name.
  };

  std::string salt_;
  std::unordered_map<KeyHash, std::shared_ptr<const ApiKey>, HashOfHash> by_hash_;
  std::map<std::string, Account, std::less<>> accounts_;  // By the key's name.
};

}  // namespace headrace::access
