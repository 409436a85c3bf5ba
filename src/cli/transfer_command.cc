#include "cli/transfer_command.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/console.h"
#include "cli/profile_options.h"
#include "discovery/stored_profiles.h"
#include "render/profile_view.h"
#include "system/clock.h"

namespace headrace::cli {
namespace {

constexpr const char* kUrl = "redis://[user:password@]host[:port][/db]?model=NAME";

CLI::Validator IsRedisUrl() {
  return Quiet(CLI::Validator(
      [](std::string& url) {
        return url.starts_with("redis://") ? "" : "write it like redis://redis-1?model=NAME";
      },
      ""));
}

void List(const std::vector<std::string>& places) {
  const Seconds now = system::UnixNow();
  std::size_t refused = 0;
  Print(stdout, render::RenderList(ViewProfiles(places, now, stderr, refused), now));
  if (refused > 0) throw CLI::RuntimeError(1);
}

// Two profiles of one deployment would become one.
void StopAtNamesakes(const std::vector<discovery::StoredProfile>& profiles,
                     const std::string& mend) {
  std::set<std::string> names;
  for (const discovery::StoredProfile& stored : profiles) {
    if (!stored.parsed || names.insert(stored.parsed->profile.deployment).second) continue;
    Stop("Several profiles are of " + stored.parsed->profile.deployment + "; " + mend +
         ". Nothing was written.");
  }
}

void Push(const std::vector<std::string>& places, const std::string& target) {
  const std::vector<discovery::StoredProfile> profiles = OrStop(discovery::ReadProfiles(places));
  for (const discovery::StoredProfile& stored : profiles) {
    if (!stored.parsed) Stop(stored.parsed.error().message + " Nothing was written.");
  }
  StopAtNamesakes(profiles, "push those of one model at a time");
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
  StopAtNamesakes(profiles, "add ?model=NAME to the URL");
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

void AddList(CLI::App& profile) {
  auto places = std::make_shared<std::vector<std::string>>();
  CLI::App* command = profile.add_subcommand("list",
                                             "One line per profile: model, price, age, SLO, how "
                                             "many of its cells are of use. Exit status\n"
                                             "1 when one of them cannot be used.");
  command->add_option("places", *places, kPlaces)->required()->type_name("PLACE");
  command->callback([places] { List(*places); });
}

void AddPush(CLI::App& profile) {
  auto places = std::make_shared<std::vector<std::string>>();
  auto target = std::make_shared<std::string>();
  CLI::App* command = profile.add_subcommand(
      "push",
      "Copy profiles into Redis, where AIBrix's router and others read them. None is written when\n"
      "one of them is refused or two are of one deployment.");
  command->add_option("places", *places, kPlaces)->required()->type_name("PLACE");
  command->add_option("--to", *target, kUrl)->required()->check(IsRedisUrl())->type_name("URL");
  command->callback([places, target] { Push(*places, *target); });
}

void AddPull(CLI::App& profile) {
  auto url = std::make_shared<std::string>();
  auto directory = std::make_shared<std::string>();
  CLI::App* command =
      profile.add_subcommand("pull",
                             "Copy profiles from Redis into a directory, as DEPLOYMENT.json each, "
                             "unchanged. Exit status\n"
                             "1 when one of them cannot be used; the others are copied.");
  command->add_option("url", *url, kUrl)->required()->check(IsRedisUrl())->type_name("URL");
  command->add_option("directory", *directory, "Where to; it must exist")
      ->required()
      ->check(Quiet(CLI::ExistingDirectory))
      ->type_name("DIR");
  command->callback([url, directory] { Pull(*url, *directory); });
}

}  // namespace headrace::cli
