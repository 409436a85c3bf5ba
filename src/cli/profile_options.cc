#include "cli/profile_options.h"

#include <optional>

#include "cli/console.h"
#include "discovery/stored_profiles.h"
#include "profile/check.h"

namespace headrace::cli {

void AddSloOptions(CLI::App& command, slo::Slo& slo) {
  command
      .add_option("--percentile", slo.percentile,
                  "Statistic the latency SLOs bound: 50, 90, 99, or 0 = the mean")
      ->check(Quiet(CLI::IsMember({0, 50, 90, 99})))
      ->capture_default_str()
      ->type_name("P");
  constexpr auto kSloGroup = "SLO (TIME: seconds, or with a unit: 50ms, 1.5s)";
  const auto add_latency = [&](const char* name, std::optional<Seconds>& target,
                               const char* description) {
    command.add_option(name, target, description)
        ->check(AboveZero())
        ->transform(InSeconds())
        ->type_name("TIME")
        ->group(kSloGroup);
  };
  add_latency("--e2e", slo.e2e, "Arrival to last token");
  add_latency("--ttft", slo.ttft, "Arrival to first token");
  add_latency("--tpot", slo.tpot, "Between two output tokens");
  add_latency("--tpat", slo.tpat, "E2E per prompt and output token");
  const auto add_throughput = [&](const char* name, std::optional<double>& target,
                                  const char* description) {
    command.add_option(name, target, description)
        ->check(AboveZero())
        ->type_name("RATE")
        ->group(kSloGroup);
  };
  add_throughput("--tput", slo.tput, "Least requests finished per second");
  add_throughput("--tt", slo.tt, "Least output tokens per second");
}

std::vector<render::ProfileView> ViewProfiles(const std::vector<std::string>& places, Seconds now,
                                              std::FILE* errors, std::size_t& refused) {
  std::vector<render::ProfileView> views;
  for (const discovery::StoredProfile& stored : OrStop(discovery::ReadProfiles(places))) {
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

}  // namespace headrace::cli
