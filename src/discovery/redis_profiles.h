// GPU profiles in Redis, where AIBrix keeps them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "discovery/profile_source.h"
#include "store/redis.h"

namespace headrace::discovery {

// The model's deployment's key: aibrix:profile_{model}_{deployment}.
std::string ProfileKey(std::string_view model, std::string_view deployment);

// The model that the key of a deployment's profile belongs to. Both names may contain underscores,
// so the key alone does not tell. Nullopt if the key belongs to another deployment or to no
// profile.
std::optional<std::string> ModelOfProfileKey(std::string_view key, std::string_view deployment);

// Matches the keys of all profiles.
inline constexpr std::string_view kProfileKeyPattern = "aibrix:profile_*";

// Reads the keys every ten seconds, as AIBrix does, and at the next Refresh after a change if Redis
// is set up to notify of changes (`notify-keyspace-events` with K and either A or $, g, x and e). A
// Redis that does not respond is tried again every two seconds.
class RedisProfiles final : public ProfileSource {
 public:
  RedisProfiles(const store::RedisUrl& url, std::vector<std::string> keys,
                Seconds timeout = store::Redis::kTimeout);

  bool Refresh(Seconds now) override;

 private:
  // Whether Redis has notified of a change since the last time, or a notification may be lost.
  bool Heard();
  bool Read(Seconds now);
  bool SetOutage(std::string sentence);
  // The fix in a sentence about keys that are missing; `missing` are their places.
  const std::string& FixOfMissing(const std::vector<std::size_t>& missing, Seconds now);

  std::vector<std::string> keys_;
  std::vector<std::optional<std::uint64_t>> seen_;  // Hashes of the texts read last.
  store::Redis redis_;
  store::Redis listener_;
  bool listening_ = false;
  Seconds next_read_ = 0;
  std::vector<std::size_t> missing_;  // When the fix was made.
  std::string fix_;
  Seconds next_scan_ = 0;
};

}  // namespace headrace::discovery
