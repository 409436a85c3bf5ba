#include "cli/stored_profiles.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "cli/console.h"
#include "cli/files.h"
#include "discovery/redis_profiles.h"
#include "profile/check.h"
#include "store/redis.h"

namespace headrace::cli {
namespace {

bool IsRedis(std::string_view place) { return place.starts_with("redis://"); }

Result<store::RedisUrl> ParsePlace(const std::string& place) {
  auto url = store::ParseRedisUrl(place);
  // Not the place itself: it may hold a password.
  if (!url) return Fail("What begins with redis:// " + url.error().message + ".");
  return url;
}

StoredProfile Store(std::string origin, std::string text) {
  StoredProfile stored{
      .origin = std::move(origin), .model = "", .text = std::move(text), .parsed = {}};
  stored.parsed = profile::ParseGpuProfile(stored.text, stored.origin);
  return stored;
}

Result<std::vector<StoredProfile>> ReadRedis(const std::string& place) {
  const auto url = ParsePlace(place);
  if (!url) return tl::unexpected(url.error());
  store::Redis redis(*url);
  auto keys = redis.Scan(std::string(discovery::kProfileKeyPattern));
  if (!keys) return tl::unexpected(keys.error());
  // Some other model's name may begin with this one's; what each profile says of itself decides.
  std::erase_if(*keys, [&](const std::string& key) {
    return !url->model.empty() && !key.starts_with(discovery::ProfileKey(url->model, ""));
  });
  const auto values = redis.Get(*keys);
  if (!values) return tl::unexpected(values.error());
  std::vector<StoredProfile> profiles;
  for (std::size_t i = 0; i < keys->size(); ++i) {
    const store::Redis::Value& value = (*values)[i];
    StoredProfile stored = Store((*keys)[i] + " in " + url->Name(), value.text.value_or(""));
    if (!value.text) {
      stored.parsed =
          Fail(stored.origin + ": " +
               (value.error.empty() ? "is gone; list the profiles again." : value.error));
    }
    if (stored.parsed) {
      stored.model = discovery::ModelOfProfileKey((*keys)[i], stored.parsed->profile.deployment)
                         .value_or(url->model);
      if (!url->model.empty() && stored.model != url->model) continue;
    }
    profiles.push_back(std::move(stored));
  }
  if (profiles.empty()) {
    return Fail(url->Name() + ": holds no profile" +
                (url->model.empty() ? "" : " of " + url->model) + "; write one with `push`.");
  }
  return profiles;
}

Result<std::string> WriteRedis(std::string_view text, const std::string& deployment,
                               const std::string& place) {
  const auto url = ParsePlace(place);
  if (!url) return tl::unexpected(url.error());
  if (url->model.empty()) {
    return Fail(url->Name() + ": the URL names no model; add ?model=NAME.");
  }
  const std::string key = discovery::ProfileKey(url->model, deployment);
  return store::Redis(*url).Set(key, text).map([&] { return key + " in " + url->Name(); });
}

}  // namespace

Result<std::vector<StoredProfile>> ReadProfiles(const std::vector<std::string>& places) {
  std::vector<StoredProfile> profiles;
  for (const std::string& place : places) {
    if (IsRedis(place)) {
      auto found = ReadRedis(place);
      if (!found) return found;
      std::ranges::move(*found, std::back_inserter(profiles));
      continue;
    }
    const auto files = ListJsonFiles(place);
    if (!files) return tl::unexpected(files.error());
    for (const std::string& path : *files) {
      const auto text = ReadFile(path);
      StoredProfile& stored = profiles.emplace_back(Store(path, text.value_or("")));
      if (!text) stored.parsed = tl::unexpected(text.error());
    }
  }
  return profiles;
}

std::vector<render::ProfileView> ViewProfiles(const std::vector<std::string>& places, Seconds now,
                                              std::FILE* errors, std::size_t& refused) {
  std::vector<render::ProfileView> views;
  for (const StoredProfile& stored : OrStop(ReadProfiles(places))) {
    if (!stored.parsed) {
      ++refused;
      Print(errors, "refused  " + stored.parsed.error().message + "\n");
      continue;
    }
    views.push_back({.profile = stored.parsed->profile,
                     .origin = stored.origin,
                     .faults = profile::AllFaults(*stored.parsed, stored.origin, now),
                     .model = stored.model});
  }
  return views;
}

Result<std::string> WriteProfile(std::string_view text, const std::string& deployment,
                                 const std::string& place) {
  if (IsRedis(place)) return WriteRedis(text, deployment, place);
  std::string path = place;
  std::error_code ignored;
  if (path.ends_with('/')) std::filesystem::create_directories(path, ignored);
  if (std::filesystem::is_directory(path, ignored)) {
    std::string name = deployment;
    std::ranges::replace(name, '/', '_');  // Kubernetes: namespace/name.
    path = (std::filesystem::path(path) / (name + ".json")).string();
  }
  return WriteFile(path, text).map([&] { return path; });
}

}  // namespace headrace::cli
