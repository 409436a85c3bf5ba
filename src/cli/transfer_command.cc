#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "discovery/stored_profiles.h"
#include "store/redis_url.h"

namespace headrace::cli {
namespace {

constexpr const char* kUrl =
    "redis[s]://[user:password@]host[:port][/db]?model=NAME, or unix:///SOCKET?model=NAME";

CLI::Validator IsRedisUrl() {
  return Quiet(CLI::Validator(
      [](std::string& url) {
        return store::IsRedisUrl(url) ? "" : "write it like redis://redis-1?model=NAME";
      },
      ""));
}

// Two profiles of one deployment would overwrite each other.
void StopAtDuplicates(const std::vector<discovery::StoredProfile>& profiles,
                      const std::string& fix) {
  std::set<std::string> names;
  for (const discovery::StoredProfile& stored : profiles) {
    if (!stored.parsed || names.insert(stored.parsed->profile.deployment).second) continue;
    Stop("Several profiles are for the deployment " + stored.parsed->profile.deployment + "; " +
         fix + ". Nothing was written.");
  }
}

void Push(const std::vector<std::string>& places, const std::string& target) {
  const std::vector<discovery::StoredProfile> profiles = OrStop(discovery::ReadProfiles(places));
  for (const discovery::StoredProfile& stored : profiles) {
    if (!stored.parsed) Stop(stored.parsed.error().message + " Nothing was written.");
  }
  StopAtDuplicates(profiles, "push the profiles of one model at a time");
  for (const discovery::StoredProfile& stored : profiles) {
    const profile::GpuProfile& profile = stored.parsed->profile;
    Print(stderr, "Wrote " +
                      OrStop(discovery::WriteProfile(profile::FormatGpuProfile(profile),
                                                     profile.deployment, target)) +
                      ".\n");
  }
}

void Pull(const std::string& url, const std::string& directory) {
  const std::vector<discovery::StoredProfile> profiles = OrStop(discovery::ReadProfiles({url}));
  StopAtDuplicates(profiles, "add ?model=NAME to the URL");
  bool refused = false;
  for (const discovery::StoredProfile& stored : profiles) {
    if (!stored.parsed) {
      refused = true;
      Print(stderr, "refused  " + stored.parsed.error().message + "\n");
      continue;
    }
    Print(stderr, "Wrote " +
                      OrStop(discovery::WriteProfile(stored.text, stored.parsed->profile.deployment,
                                                     directory)) +
                      ".\n");
  }
  if (refused) throw CLI::RuntimeError(1);
}

}  // namespace

void AddPushCommand(CLI::App& profile) {
  auto places = std::make_shared<std::vector<std::string>>();
  auto target = std::make_shared<std::string>();
  CLI::App* command =
      profile.add_subcommand("push",
                             "Copy profiles into Redis, where AIBrix's router and others read "
                             "them. Nothing is written if\n"
                             "a profile is refused or two profiles are for the same deployment.");
  AddPlaces(*command, *places);
  command->add_option("--to", *target, kUrl)->required()->check(IsRedisUrl())->type_name("URL");
  command->callback([places, target] { Push(*places, *target); });
}

void AddPullCommand(CLI::App& profile) {
  auto url = std::make_shared<std::string>();
  auto directory = std::make_shared<std::string>();
  CLI::App* command =
      profile.add_subcommand("pull",
                             "Copy profiles from Redis into a directory, as DEPLOYMENT.json each, "
                             "unchanged. Exit status\n"
                             "1 if a profile cannot be used; the others are copied.");
  command->add_option("url", *url, kUrl)->required()->check(IsRedisUrl())->type_name("URL");
  command->add_option("directory", *directory, "An existing directory")
      ->required()
      ->check(Quiet(CLI::ExistingDirectory))
      ->type_name("DIR");
  command->callback([url, directory] { Pull(*url, *directory); });
}

}  // namespace headrace::cli
