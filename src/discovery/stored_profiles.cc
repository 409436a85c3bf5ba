#include "discovery/stored_profiles.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "discovery/redis_profiles.h"
#include "store/redis.h"
#include "system/files.h"

namespace headrace::discovery {
namespace {

Result<store::RedisUrl> ParsePlace(const std::string& place) {
  auto url = store::ParseRedisUrl(place);
  // The message does not repeat the URL: it may hold a password.
  if (!url) return Fail("The URL of Redis " + url.error().message + ".");
  return url;
}

// A file itself; of a directory its *.json.
Result<std::vector<std::string>> FilesAt(const std::string& place) {
  std::error_code error;
  if (!std::filesystem::is_directory(place, error)) return std::vector<std::string>{place};
  HEADRACE_ASSIGN(std::vector<std::string> files, system::ListFiles(place, ".json"));
  if (files.empty()) return Fail(place + ": holds no *.json; name another directory.");
  return files;
}

StoredProfile Store(std::string origin, std::string text) {
  StoredProfile stored{
      .origin = std::move(origin), .model = "", .text = std::move(text), .parsed = {}};
  stored.parsed = profile::ParseGpuProfile(stored.text, stored.origin);
  return stored;
}

Result<std::vector<StoredProfile>> ReadRedis(const std::string& place) {
  HEADRACE_ASSIGN(const store::RedisUrl url, ParsePlace(place));
  store::Redis redis(url);
  HEADRACE_ASSIGN(std::vector<std::string> keys, redis.Scan(std::string(kProfileKeyPattern)));
  // Another model's name may begin with this one's; below, the profile's own deployment decides.
  std::erase_if(keys, [&](const std::string& key) {
    return !url.model.empty() && !key.starts_with(ProfileKey(url.model, ""));
  });
  HEADRACE_ASSIGN(const std::vector<store::Redis::Value> values, redis.Get(keys));
  std::vector<StoredProfile> profiles;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const store::Redis::Value& value = values[i];
    StoredProfile stored = Store(keys[i] + " in " + url.Name(), value.text.value_or(""));
    if (!value.text) {
      stored.parsed = Fail(
          stored.origin + ": " +
          (value.error.empty() ? "was deleted meanwhile; list the profiles again." : value.error));
    }
    if (stored.parsed) {
      stored.model =
          ModelOfProfileKey(keys[i], stored.parsed->profile.deployment).value_or(url.model);
      if (!url.model.empty() && stored.model != url.model) continue;
    }
    profiles.push_back(std::move(stored));
  }
  if (profiles.empty()) {
    return Fail(url.Name() + ": holds no profile" + (url.model.empty() ? "" : " of " + url.model) +
                "; write one with `push`.");
  }
  return profiles;
}

Result<store::RedisUrl> ParseTarget(const std::string& place) {
  HEADRACE_ASSIGN(store::RedisUrl url, ParsePlace(place));
  if (url.model.empty()) {
    return Fail(url.Name() + ": the URL names no model; add ?model=NAME.");
  }
  return url;
}

Result<std::string> WriteRedis(std::string_view text, const std::string& deployment,
                               const std::string& place) {
  HEADRACE_ASSIGN(const store::RedisUrl url, ParseTarget(place));
  const std::string key = ProfileKey(url.model, deployment);
  return store::Redis(url).Set(key, text).map([&] { return key + " in " + url.Name(); });
}

// The file that a place which is none of Redis names.
std::string FileOf(const std::string& deployment, const std::string& place) {
  std::error_code ignored;
  if (place.ends_with('/')) std::filesystem::create_directories(place, ignored);
  if (!std::filesystem::is_directory(place, ignored)) return place;
  std::string name = deployment;
  std::ranges::replace(name, '/', '_');  // Kubernetes: namespace/name.
  return (std::filesystem::path(place) / (name + ".json")).string();
}

}  // namespace

Result<std::vector<StoredProfile>> ReadProfiles(const std::vector<std::string>& places) {
  std::vector<StoredProfile> profiles;
  for (const std::string& place : places) {
    if (store::IsRedisUrl(place)) {
      HEADRACE_ASSIGN(std::vector<StoredProfile> found, ReadRedis(place));
      std::ranges::move(found, std::back_inserter(profiles));
      continue;
    }
    HEADRACE_ASSIGN(const std::vector<std::string> files, FilesAt(place));
    for (const std::string& path : files) {
      const auto text = system::ReadFile(path);
      StoredProfile& stored = profiles.emplace_back(Store(path, text.value_or("")));
      if (!text) stored.parsed = tl::unexpected(text.error());
    }
  }
  return profiles;
}

Result<void> CheckPlace(const std::string& deployment, const std::string& place) {
  if (store::IsRedisUrl(place)) return ParseTarget(place).map([](const store::RedisUrl&) {});
  return system::CheckWritable(FileOf(deployment, place));
}

Result<std::string> WriteProfile(std::string_view text, const std::string& deployment,
                                 const std::string& place) {
  if (store::IsRedisUrl(place)) return WriteRedis(text, deployment, place);
  std::string path = FileOf(deployment, place);
  return system::WriteFile(path, text).map([&] { return path; });
}

}  // namespace headrace::discovery
