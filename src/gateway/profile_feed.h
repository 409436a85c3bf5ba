// Keeps the routers' profiles as new as their files.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "config/config.h"
#include "gateway/gateway_metrics.h"
#include "gateway/proxy.h"
#include "store/profile_file.h"
#include "telemetry/standing_faults.h"

namespace headrace {

// What is known of a deployment's profile, for status pages.
struct ProfileStatus {
  std::string model;
  std::string deployment;
  ProfileReading reading;
};

// Reads every deployment's profile when it starts, then looks for changes every two seconds on a
// thread of its own. A fault is logged once, in one line with its mend, and again when it changes.
class ProfileFeed {
 public:
  // What is passed in must outlive the feed.
  ProfileFeed(const Config& config, const std::vector<std::unique_ptr<ServedModel>>& models,
              ModelObserver& metrics, StandingFaults& faults);
  ~ProfileFeed();

  // Thread-safe.
  std::vector<ProfileStatus> Status() const;

 private:
  struct Entry {
    ServedModel* model;
    std::string deployment;
    ProfileFile file;
  };

  // Looks at all files; what has changed goes to its router.
  void Refresh();
  void Report(const Entry& entry);
  void Run();

  Seconds max_age_;
  ModelObserver& metrics_;
  StandingFaults& faults_;
  mutable std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;       // Guarded by mutex_.
  std::vector<Entry> entries_;  // Guarded by mutex_ once the thread runs.
  std::thread thread_;
};

}  // namespace headrace
