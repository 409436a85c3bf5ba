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

// The model that the key of a deployment's profile belongs to: both names may hold underscores, so
// that the key alone does not tell. Nothing when the key is of another deployment, or none of a
// profile's.
std::optional<std::string> ModelOfProfileKey(std::string_view key, std::string_view deployment);

// Matches the keys of all profiles.
inline constexpr std::string_view kProfileKeyPattern = "aibrix:profile_*";

// Follows keys: reads them every ten seconds, as AIBrix does, and at once (as soon as Refresh is
// called) where Redis is set to tell of changes (`notify-keyspace-events` with K and either A or $,
// g, x and e). A Redis that is away is tried again every two seconds.
class RedisProfiles final : public ProfileSource {
 public:
  RedisProfiles(const store::RedisUrl& url, std::vector<std::string> keys,
                Seconds timeout = store::Redis::kTimeout);

  bool Refresh(Seconds now) override;

 private:
  // Whether Redis has told of a change since the last time, or may have unheard.
  bool Heard();
  bool Read(Seconds now);
  bool SetOutage(std::string sentence);
  // The rest of a sentence about keys that are not there: these, as of now.
  const std::string& MendOfMissing(const std::vector<std::size_t>& missing, Seconds now);

  std::vector<std::string> keys_;
  std::vector<std::optional<std::uint64_t>> seen_;  // Hashes of the texts read last.
  store::Redis redis_;
  store::Redis listener_;
  bool listening_ = false;
  Seconds next_read_ = 0;
  std::vector<std::size_t> missing_;  // As of the last time that their mend was looked up.
  std::string mend_;
  Seconds next_look_up_ = 0;
};

}  // namespace headrace::discovery
