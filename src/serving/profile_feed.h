// Keeps the routers' profiles as new as the places where they are kept.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "config/config.h"
#include "discovery/profile_source.h"
#include "serving/gateway_metrics.h"
#include "serving/served_model.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// What is known of a deployment's profile, for status pages.
struct ProfileStatus {
  std::string model;
  std::string deployment;
  discovery::ProfileReading reading;
  // What else is wrong with the one in force, a sentence each: too old, no use to the policy.
  std::vector<std::string> faults;
};

// Reads every deployment's profile when it starts, then looks for changes, each source on a thread
// of its own, so that one that hangs holds up no other. A fault is logged once, in one line with
// its mend, and again when it changes.
class ProfileFeed {
 public:
  // What is passed in must outlive the feed.
  ProfileFeed(const config::Config& config, const std::vector<std::unique_ptr<ServedModel>>& models,
              ModelObserver& metrics, telemetry::StandingFaults& faults);
  ~ProfileFeed();

  // By model and deployment, as configured. Thread-safe.
  std::vector<ProfileStatus> Status() const;

 private:
  // A deployment whose profile a source has.
  struct Reader {
    std::size_t place;  // In status_.
    ServedModel* model;
    std::shared_ptr<const profile::GpuProfile> in_force;
  };
  // A source with its readers, one for each of its readings.
  struct Watch {
    std::unique_ptr<discovery::ProfileSource> source;
    std::vector<Reader> readers;
    std::thread thread;
  };

  void Run(Watch& watch);
  // Looks at the source; what has changed goes to the routers and the status.
  void Refresh(Watch& watch);
  void Report(const Watch& watch);
  void Report(const Reader& reader, const discovery::ProfileReading& reading, bool source_answers);
  // Empty when it is not: sentences with their mends.
  std::string WhyTooOld(const discovery::ProfileReading& reading) const;
  static std::string WhyUnusable(const ModelRouter& router,
                                            const discovery::ProfileReading& reading);
  // A standing fault, or the end of it when `sentence` is empty.
  void Say(telemetry::LogLevel level, const std::string& cause, const std::string& sentence);

  Seconds max_age_;
  ModelObserver& metrics_;
  telemetry::StandingFaults& faults_;
  mutable std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;  // Guarded by mutex_, as are, but for their names:
  std::vector<ProfileStatus> status_;
  std::vector<Watch> watches_;
};

}  // namespace headrace::serving
