#include "gateway/profile_feed.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>

#include "net/clock.h"
#include "profile/check.h"

namespace headrace {
namespace {

constexpr std::chrono::seconds kInterval{2};

Seconds UnixNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// `profile:` holds a slash: a path of its own; else a name in the profile directory.
std::filesystem::path PathOf(const Config& config, const DeploymentConfig& deployment) {
  const std::string& name = deployment.profile.empty() ? deployment.name : deployment.profile;
  if (name.find('/') != std::string::npos) return name;
  const std::filesystem::path path = std::filesystem::path(config.profiles.directory) / name;
  return path.extension() == ".json" ? path : std::filesystem::path(path.string() + ".json");
}

}  // namespace

ProfileFeed::ProfileFeed(const Config& config,
                         const std::vector<std::unique_ptr<ServedModel>>& models,
                         ModelObserver& metrics, StandingFaults& faults)
    : max_age_(config.profiles.max_age), metrics_(metrics), faults_(faults) {
  for (std::size_t i = 0; i < config.models.size(); ++i) {
    for (const DeploymentConfig& deployment : config.models[i].deployments) {
      entries_.push_back(
          {models[i].get(), deployment.name, ProfileFile(PathOf(config, deployment))});
    }
  }
  Refresh();
  thread_ = std::thread([this] { Run(); });
}

ProfileFeed::~ProfileFeed() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

std::vector<ProfileStatus> ProfileFeed::Status() const {
  const std::lock_guard lock(mutex_);
  std::vector<ProfileStatus> status;
  for (const Entry& entry : entries_) {
    status.push_back({entry.model->name, entry.deployment, entry.file.reading()});
  }
  return status;
}

void ProfileFeed::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kInterval, [this] { return stopping_; })) Refresh();
}

void ProfileFeed::Refresh() {
  for (Entry& entry : entries_) {
    if (entry.file.Refresh()) {
      entry.model->router.SetProfile(entry.deployment, entry.file.reading().profile);
    }
    Report(entry);
  }
}

void ProfileFeed::Report(const Entry& entry) {
  const ProfileReading& reading = entry.file.reading();
  const Seconds now = MonotonicNow();
  const std::string cause = "profile of " + entry.model->name + "/" + entry.deployment;
  if (reading.error.empty()) {
    faults_.Clear(cause, cause + " is usable", now);
  } else {
    faults_.Raise(LogLevel::kError, cause,
                  reading.error + (reading.profile ? " The last good profile stays in force."
                                                   : " Its deployment is routed by the fallback."),
                  now);
  }
  const Seconds age = reading.profile ? UnixNow() - reading.profile->created
                                      : std::numeric_limits<double>::quiet_NaN();
  const std::string age_cause = cause + ": age";
  if (max_age_ > 0 && age > max_age_) {
    char text[160];
    std::snprintf(text, sizeof text, ": profile is %.0f days old; measure it again", age / 86400);
    faults_.Raise(LogLevel::kWarning, age_cause, reading.origin + text, now);
  } else {
    faults_.Clear(age_cause, cause + " is new enough", now);
  }
  const std::string faults_cause = cause + ": faults";
  if (reading.faults.empty()) {
    faults_.Clear(faults_cause, cause + " has no faults", now);
  } else {
    faults_.Raise(LogLevel::kWarning, faults_cause,
                  reading.origin + ": " + std::to_string(reading.faults.size()) +
                      " faults, the first: " + reading.faults.front().message,
                  now);
  }
  metrics_.SetProfile(entry.model->name, entry.deployment, age,
                      static_cast<int>(reading.faults.size()) + (reading.error.empty() ? 0 : 1));
}

}  // namespace headrace
