#include "discovery/redis_profiles.h"

#include <functional>
#include <utility>

namespace headrace::discovery {
namespace {

constexpr Seconds kInterval = 10;
constexpr Seconds kRetry = 2;
// A scan for the keys that are there instead of the missing ones goes through all that Redis has.
constexpr Seconds kScanInterval = 60;
constexpr std::string_view kPrefix = "aibrix:profile_";
// Keys in a fix.
constexpr std::size_t kMostNamed = 8;

}  // namespace

std::string ProfileKey(std::string_view model, std::string_view deployment) {
  return std::string(kPrefix).append(model).append("_").append(deployment);
}

std::optional<std::string> ModelOfProfileKey(std::string_view key, std::string_view deployment) {
  const std::string ending = "_" + std::string(deployment);
  if (!key.starts_with(kPrefix) || !key.ends_with(ending)) return std::nullopt;
  key.remove_prefix(kPrefix.size());
  if (key.size() <= ending.size()) return std::nullopt;
  return std::string(key.substr(0, key.size() - ending.size()));
}

RedisProfiles::RedisProfiles(const store::RedisUrl& url, std::vector<std::string> keys,
                             Seconds timeout)
    : keys_(std::move(keys)), seen_(keys_.size()), redis_(url, timeout), listener_(url, timeout) {
  for (const std::string& key : keys_) {
    readings_.emplace_back().origin = key + " in " + url.Name();
  }
}

bool RedisProfiles::Refresh(Seconds now) {
  if (!Heard() && now < next_read_) return false;
  // Before the reading, so that no change falls between the two.
  if (!listening_) {
    listening_ = listener_
                     .Subscribe("__keyspace@" + std::to_string(redis_.url().database) +
                                "__:" + std::string(kProfileKeyPattern))
                     .has_value();
  }
  const bool changed = Read(now);
  next_read_ = now + (outage_.empty() ? kInterval : kRetry);
  return changed;
}

bool RedisProfiles::Heard() {
  if (!listening_) return false;
  const auto messages = listener_.TakeMessages();
  listening_ = messages.has_value();
  return !messages || !messages->empty();
}

bool RedisProfiles::Read(Seconds now) {
  const auto values = redis_.Get(keys_);
  if (!values) return SetOutage(values.error().message);
  bool changed = SetOutage("");
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    ProfileReading& reading = readings_[i];
    const store::Redis::Value& value = (*values)[i];
    if (!value.text) {
      seen_[i].reset();
      if (value.error.empty()) {
        missing.push_back(i);
      } else {
        changed |= SetError(reading, reading.origin + ": " + value.error);
      }
      continue;
    }
    const std::uint64_t hash = std::hash<std::string_view>()(*value.text);
    if (seen_[i] == hash) continue;
    seen_[i] = hash;
    SetText(reading, *value.text);
    changed = true;
  }
  for (const std::size_t i : missing) {
    changed |= SetError(readings_[i],
                        readings_[i].origin + ": no such key; " + FixOfMissing(missing, now), true);
  }
  return changed;
}

bool RedisProfiles::SetOutage(std::string sentence) {
  if (sentence == outage_) return false;
  outage_ = std::move(sentence);
  return true;
}

// A name that does not match is the most frequent cause, so the fix lists the keys that are there.
const std::string& RedisProfiles::FixOfMissing(const std::vector<std::size_t>& missing,
                                               Seconds now) {
  if (missing == missing_ && now < next_scan_) return fix_;
  missing_ = missing;
  next_scan_ = now + kScanInterval;
  fix_ = "write it with `headrace profile push` or `generate -o redis://…`";
  const auto there = redis_.Scan(std::string(kProfileKeyPattern));
  if (there && there->empty()) fix_ += " (there are no profiles at all)";
  for (std::size_t i = 0; there && i < there->size() && i <= kMostNamed; ++i) {
    if (i == 0) fix_ += ", or name the deployment as one of the keys that are there: ";
    if (i > 0) fix_ += ", ";
    fix_ += i < kMostNamed ? (*there)[i]
                           : "and " + std::to_string(there->size() - kMostNamed) + " more";
  }
  return fix_ += ".";
}

}  // namespace headrace::discovery
