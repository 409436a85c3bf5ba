// Where the profiles of deployments come from while we run.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "profile/gpu_profile.h"

namespace headrace::discovery {

// What is known of one deployment's profile.
struct ProfileReading {
  std::string origin;  // The file, or the Redis key with its server.
  // The last one that could be read; null if there never was one.
  std::shared_ptr<const profile::GpuProfile> profile;
  std::vector<profile::ProfileFault> faults;  // Of that one.
  // Why what is there now cannot be used, one sentence; empty if it can. `profile` then is older.
  std::string error;
  bool missing = false;  // The error is that there is none.
};

// A place that holds profiles and may change at any time. If a profile vanishes or breaks, the last
// good one stays in force and its reading has an error. Not thread-safe.
class ProfileSource {
 public:
  virtual ~ProfileSource() = default;

  // Reads again if it is due; true if a reading or the outage has changed. `now` is the time on any
  // monotonic clock. May wait for the place to respond, with a bound.
  virtual bool Refresh(Seconds now) = 0;
  // One per profile that the source was asked for, in that order.
  const std::vector<ProfileReading>& readings() const { return readings_; }
  // Why nothing can be read at present, one sentence; empty if the place responds. The readings are
  // then as old as its last response.
  const std::string& outage() const { return outage_; }

 protected:
  static bool SetError(ProfileReading& reading, std::string error, bool missing = false);
  // Takes over the text that is there now; if it is not a usable profile, the error says why.
  static void SetText(ProfileReading& reading, std::string_view text);

  std::vector<ProfileReading> readings_;
  std::string outage_;
};

}  // namespace headrace::discovery
