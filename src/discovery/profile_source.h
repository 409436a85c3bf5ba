// Where the profiles of deployments come from while we run.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "profile/gpu_profile.h"

namespace headrace::discovery {

// What is known of one deployment's profile, wherever it is kept.
struct ProfileReading {
  std::string origin;  // The file, or the Redis key with its server.
  // The last one that could be read; null when there never was one.
  std::shared_ptr<const profile::GpuProfile> profile;
  std::vector<profile::ProfileFault> faults;  // Of that one.
  // Why what is there now cannot be used, one sentence; empty when it can. `profile` then is older.
  std::string error;
};

// A place that holds profiles and may change under us. What vanishes or breaks leaves the last good
// profile in force, and says so. Not thread-safe.
class ProfileSource {
 public:
  virtual ~ProfileSource() = default;

  // Looks again; true when a reading or the outage has changed. `now` is any monotonic clock's. May
  // wait for the place to answer, with a bound.
  virtual bool Refresh(Seconds now) = 0;
  // One for each profile that the source was asked for, in that order.
  const std::vector<ProfileReading>& readings() const { return readings_; }
  // Why nothing can be read at present, one sentence; empty when the place answers. The readings
  // are then as old as its last answer.
  const std::string& outage() const { return outage_; }

 protected:
  static bool SetError(ProfileReading& reading, std::string error);
  // Takes over what stands there now; a text that is no usable profile becomes the error.
  static void SetText(ProfileReading& reading, std::string_view text);

  std::vector<ProfileReading> readings_;
  std::string outage_;
};

}  // namespace headrace::discovery
