#include "serving/profile_feed.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <utility>

#include "base/text.h"
#include "discovery/kubernetes_profiles.h"
#include "discovery/profile_files.h"
#include "discovery/redis_profiles.h"
#include "system/clock.h"

namespace headrace::serving {
namespace {

// How often a source is asked whether anything is new; most of the time it does not have to check.
constexpr Seconds kInterval = 1;
constexpr Seconds kDay = 86400;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The name of its profile in the source of profiles.
const std::string& ProfileNameOf(const config::DeploymentConfig& deployment) {
  return deployment.profile.empty() ? deployment.name : deployment.profile;
}

}  // namespace

ProfileFeed::ProfileFeed(const config::Config& config, const PoolList& pools,
                         const std::shared_ptr<discovery::KubernetesCluster>& cluster,
                         PoolObserver& metrics, telemetry::StandingFaults& faults)
    : max_age_(config.profiles.max_age), metrics_(metrics), faults_(faults) {
  std::vector<std::filesystem::path> paths;
  std::vector<std::string> keys;
  std::vector<std::string> names;
  Watch files;
  Watch configmap;
  Watch redis;
  for (const config::ModelConfig& model : config.models) {
    const std::shared_ptr<Pool>& pool =
        *std::ranges::find(pools, model.name, [](const auto& known) { return known->name(); });
    for (const config::DeploymentConfig& deployment : model.deployments) {
      const Reader reader{status_.size(), pool, deployment.name,
                          ProfileNameOf(deployment) != deployment.name, nullptr};
      status_.push_back({pool->name(), deployment.name, {}, {}});
      if (const auto file = config::ProfileFileOf(config, deployment)) {
        paths.emplace_back(*file);
        files.readers.push_back(reader);
      } else if (config.profiles.source == config::ProfilesConfig::Source::kConfigMap) {
        names.push_back(ProfileNameOf(deployment));
        configmap.readers.push_back(reader);
      } else {
        const std::string& model_name =
            model.name_in_keys.empty() ? model.name : model.name_in_keys;
        keys.push_back(discovery::ProfileKey(model_name, ProfileNameOf(deployment)));
        redis.readers.push_back(reader);
      }
    }
  }
  if (!paths.empty()) {
    files.source = std::make_unique<discovery::ProfileFiles>(std::move(paths));
    watches_.push_back(std::move(files));
  }
  if (!names.empty()) {
    configmap.source =
        std::make_unique<discovery::KubernetesProfiles>(cluster, config.profiles.configmap, names);
    watches_.push_back(std::move(configmap));
  }
  if (!keys.empty()) {
    redis.source = std::make_unique<discovery::RedisProfiles>(*config.redis, std::move(keys));
    watches_.push_back(std::move(redis));
  }
  for (Watch& watch : watches_) Refresh(watch);
  for (Watch& watch : watches_) {
    watch.thread = std::thread([this, &watch] { Run(watch); });
  }
}

ProfileFeed::~ProfileFeed() {
  {
    const system::MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  for (Watch& watch : watches_) watch.thread.join();
}

std::vector<ProfileStatus> ProfileFeed::Status() const {
  const system::MutexLock lock(mutex_);
  return status_;
}

void ProfileFeed::Run(Watch& watch) {
  for (;;) {
    {
      const system::MutexLock lock(mutex_);
      while (!stopping_ && stop_.WaitFor(mutex_, kInterval)) {
      }
      if (stopping_) return;
    }
    Refresh(watch);
  }
}

void ProfileFeed::Refresh(Watch& watch) {
  if (watch.source->Refresh(system::MonotonicNow())) {
    for (std::size_t i = 0; i < watch.readers.size(); ++i) {
      Reader& reader = watch.readers[i];
      const discovery::ProfileReading& reading = watch.source->readings()[i];
      if (reader.in_force == reading.profile) continue;
      reader.in_force = reading.profile;
      reader.pool->router().SetProfile(reader.deployment, reader.in_force);
    }
  }
  Report(watch);
}

void ProfileFeed::Report(const Watch& watch) {
  const std::string& outage = watch.source->outage();
  std::string sentence;
  if (!outage.empty()) {
    const auto kept = std::ranges::count_if(
        watch.readers, [](const Reader& reader) { return reader.in_force != nullptr; });
    sentence = outage + " Of " + std::to_string(watch.readers.size()) + " profiles " +
               std::to_string(kept) +
               " were read before and stay in force; deployments without one are routed by the "
               "fallback.";
  }
  Say(telemetry::LogLevel::kError, "the source of profiles", sentence);
  for (std::size_t i = 0; i < watch.readers.size(); ++i) {
    discovery::ProfileReading reading = watch.source->readings()[i];
    if (reading.missing && !watch.readers[i].named &&
        !watch.readers[i].pool->router().NeedsProfiles()) {
      reading.error.clear();
    }
    if (reading.error.empty()) reading.error = outage;
    Report(watch.readers[i], reading, outage.empty());
  }
}

void ProfileFeed::Report(const Reader& reader, const discovery::ProfileReading& reading,
                         bool reachable) {
  const std::string cause = "profile of " + reader.pool->name() + "/" + reader.deployment;
  // An outage is reported once, not for each of its profiles.
  if (reachable) {
    Say(telemetry::LogLevel::kError, cause,
        reading.error.empty()
            ? ""
            : reading.error + (reading.profile ? " The last good profile stays in force."
                                               : " Its deployment is routed by the fallback."));
  }
  std::vector<std::string> faults;
  const auto add = [&](telemetry::LogLevel level, const char* kind, const std::string& sentence) {
    Say(level, cause + ": " + kind, sentence);
    if (!sentence.empty()) faults.push_back(sentence);
  };
  add(telemetry::LogLevel::kError, "use", WhyUnusable(reader.pool->router(), reading));
  add(telemetry::LogLevel::kWarning, "age", WhyTooOld(reading));

  std::string first;
  if (!reading.faults.empty()) first = reading.faults.front().message;
  const std::size_t more = reading.faults.size() - (first.empty() ? 0 : 1);
  if (more > 0) first += " And " + std::to_string(more) + " more; /status lists them.";
  Say(telemetry::LogLevel::kWarning, cause + ": faults", first);

  const Seconds age = reading.profile && reading.profile->created > 0
                          ? system::UnixNow() - reading.profile->created
                          : kNan;
  metrics_.SetProfile(reader.pool->name(), reader.deployment, reading, age, faults.size());
  const system::MutexLock lock(mutex_);
  ProfileStatus& status = status_[reader.place];
  status.reading = reading;
  status.faults = std::move(faults);
}

std::string ProfileFeed::WhyTooOld(const discovery::ProfileReading& reading) const {
  if (!reading.profile || reading.profile->created == 0 || max_age_ == 0) return "";
  const Seconds age = system::UnixNow() - reading.profile->created;
  if (age <= max_age_) return "";
  return reading.origin + ": the profile is " + FormatNumber(age / kDay) +
         " days old; measure it again.";
}

std::string ProfileFeed::WhyUnusable(const PoolRouter& router,
                                     const discovery::ProfileReading& reading) {
  if (!reading.profile) return "";
  switch (router.WhyUnusable(*reading.profile)) {
    case scheduler::FallbackCause::kNoSlo:
      return reading.origin +
             ": neither its `slos` nor the model sets a latency target, so its deployment is "
             "routed by "
             "the fallback; add `slo:` to the model, or generate the profile with --tpat, --ntpot, "
             "--ttft, --tpot or --e2e.";
    case scheduler::FallbackCause::kMissingMatrix:
      return reading.origin +
             ": it lacks the latencies (`e2e`, or `ttft` for a TTFT target alone) that the SLO "
             "and the load are computed from, so its deployment is routed by the fallback; "
             "generate it again.";
    default:
      return "";
  }
}

void ProfileFeed::Say(telemetry::LogLevel level, const std::string& cause,
                      const std::string& sentence) {
  if (sentence.empty()) {
    faults_.Clear(cause, cause + ": in order again", system::MonotonicNow());
  } else {
    faults_.Raise(level, cause, sentence, system::MonotonicNow());
  }
}

}  // namespace headrace::serving
