#include "cli/profile_redis.h"

#include <memory>
#include <vector>

#include "cli/files.h"
#include "cli/profile_options.h"
#include "store/redis.h"

namespace headrace {

bool IsRedisUrl(const std::string& target) { return target.starts_with("redis://"); }

Result<std::string> PushProfile(const GpuProfile& profile, const std::string& url) {
  const auto parsed = ParseRedisUrl(url);
  if (!parsed) return Fail("The target " + parsed.error().message + ".");
  if (parsed->model.empty()) {
    return Fail(parsed->Name() + ": the URL names no model; add ?model=NAME.");
  }
  const std::string key = "aibrix:profile_" + parsed->model + "_" + profile.deployment;
  return Redis(*parsed).Set(key, FormatGpuProfile(profile)).map([&] {
    return key + " in " + parsed->Name();
  });
}

void AddPush(CLI::App& profile) {
  struct Arguments {
    std::vector<std::string> files;
    std::string url;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = profile.add_subcommand(
      "push",
      "Copy profiles into Redis, where AIBrix's router and others read them. None is written when\n"
      "one of them is refused.");
  command->add_option("files", arguments->files, "Profiles, or directories of *.json")
      ->required()
      ->type_name("FILE");
  command->add_option("--to", arguments->url, "redis://[user:password@]host[:port][/db]?model=NAME")
      ->required()
      ->type_name("URL");
  command->callback([arguments] {
    std::vector<GpuProfile> profiles;
    for (const std::string& path : OrStop(ListJsonFiles(arguments->files))) {
      profiles.push_back(OrStop(ParseGpuProfile(OrStop(ReadFile(path)), path)).profile);
    }
    for (const GpuProfile& pushed : profiles) {
      Print(stderr, "Wrote " + OrStop(PushProfile(pushed, arguments->url)) + ".\n");
    }
  });
}

void AddPull(CLI::App& profile) {
  struct Arguments {
    std::string url;
    std::string directory;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      profile.add_subcommand("pull",
                             "Copy a model's profiles from Redis into a directory, as "
                             "DEPLOYMENT.json each, unchanged. Exit\n"
                             "status 1 when one of them cannot be used; the others are copied.");
  command->add_option("url", arguments->url, "redis://[user:password@]host[:port][/db]?model=NAME")
      ->required()
      ->type_name("URL");
  command->add_option("directory", arguments->directory, "Where to; it must exist")
      ->required()
      ->check(Quiet(CLI::ExistingDirectory))
      ->type_name("DIR");
  command->callback([arguments] {
    const auto url = ParseRedisUrl(arguments->url);
    if (!url) Stop("The source " + url.error().message + ".");
    if (url->model.empty()) Stop(url->Name() + ": the URL names no model; add ?model=NAME.");
    Redis redis(*url);
    const std::string prefix = "aibrix:profile_" + url->model + "_";
    std::vector<std::string> keys = OrStop(redis.Scan("aibrix:profile_*"));
    std::erase_if(keys, [&](const std::string& key) { return !key.starts_with(prefix); });
    if (keys.empty()) Stop(url->Name() + ": holds no profile of " + url->model + ".");
    const auto values = OrStop(redis.Get(keys));
    bool refused = false;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::string& reason = values[i].error;
      const Result<ParsedProfile> parsed =
          reason.empty()
              ? ParseGpuProfile(values[i].text.value_or(""), keys[i])
              : Result<ParsedProfile>(Fail(keys[i] + ": holds no text (" + reason + ")."));
      if (!parsed) {
        refused = true;
        Print(stderr, "refused  " + parsed.error().message + "\n");
        continue;
      }
      std::string name = keys[i].substr(prefix.size());
      for (char& c : name) c = c == '/' ? '_' : c;  // Kubernetes: namespace/name.
      const std::string path = arguments->directory + "/" + name + ".json";
      if (auto written = WriteFile(path, *values[i].text); !written) Stop(written.error().message);
      Print(stderr, "Wrote " + path + ".\n");
    }
    if (refused) throw CLI::RuntimeError(1);
  });
}

}  // namespace headrace
