// Keeps the routers' profiles as new as the places where they are kept.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "config/config.h"
#include "discovery/kubernetes_cluster.h"
#include "discovery/profile_source.h"
#include "serving/gateway_metrics.h"
#include "serving/pool.h"
#include "system/mutex.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// What is known of a deployment's profile, for status pages.
struct ProfileStatus {
  std::string pool;
  std::string deployment;
  discovery::ProfileReading reading;
  // What else is wrong with the one in force, one sentence each: too old, of no use to the policy.
  std::vector<std::string> faults;
};

// Reads every deployment's profile when it starts, then checks for changes, each source on its own
// thread, so that one that hangs holds up no other. A fault is logged once, in one line with its
// fix, and again when it changes. That there is no profile is none where nobody asks for one: the
// pool's policy needs none, and the configuration does not name it.
class ProfileFeed {
 public:
  // `pools`: those of the configuration, at least. `cluster`: that has the ConfigMap, if profiles
  // are in one. The rest of what is passed in must outlive the feed.
  ProfileFeed(const config::Config& config, const PoolList& pools,
              const std::shared_ptr<discovery::KubernetesCluster>& cluster, PoolObserver& metrics,
              telemetry::StandingFaults& faults);
  ~ProfileFeed();

  // By pool and deployment, as configured. Thread-safe.
  std::vector<ProfileStatus> Status() const;

 private:
  // A deployment whose profile a source has.
  struct Reader {
    std::size_t place;  // In status_.
    std::shared_ptr<Pool> pool;
    std::string deployment;
    bool named;  // The configuration names a profile, other than by the deployment's name.
    std::shared_ptr<const profile::GpuProfile> in_force;
  };
  // A source with its readers, one for each of its readings.
  struct Watch {
    std::unique_ptr<discovery::ProfileSource> source;
    std::vector<Reader> readers;
    std::thread thread;
  };

  void Run(Watch& watch);
  // Reads the source; what has changed goes to the routers and the status.
  void Refresh(Watch& watch);
  void Report(const Watch& watch);
  void Report(const Reader& reader, const discovery::ProfileReading& reading, bool reachable);
  // Sentences with their fixes; empty when there is no such fault.
  std::string WhyTooOld(const discovery::ProfileReading& reading) const;
  static std::string WhyUnusable(const PoolRouter& router,
                                 const discovery::ProfileReading& reading);
  // Reports a standing fault, or its end when `sentence` is empty.
  void Say(telemetry::LogLevel level, const std::string& cause, const std::string& sentence);

  Seconds max_age_;
  PoolObserver& metrics_;
  telemetry::StandingFaults& faults_;
  mutable system::Mutex mutex_;
  system::ConditionVariable stop_;
  bool stopping_ HEADRACE_GUARDED_BY(mutex_) = false;
  std::vector<ProfileStatus> status_ HEADRACE_GUARDED_BY(mutex_);
  std::vector<Watch> watches_;
};

}  // namespace headrace::serving
