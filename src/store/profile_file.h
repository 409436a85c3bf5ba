// A GPU profile in a file that may change while we run.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "profile/gpu_profile.h"

namespace headrace {

// What is known of one deployment's profile, wherever it is kept.
struct ProfileReading {
  std::string origin;  // The file, or the Redis key.
  // The last one that could be read; null when there never was one.
  std::shared_ptr<const GpuProfile> profile;
  std::vector<ProfileFault> faults;  // Of that one.
  // Why what is there now cannot be used, one sentence; empty when it can. `profile` then is older.
  std::string error;
};

// Follows one file by its size and modification time. A file that vanishes or breaks leaves the
// last good profile in force, and says so. Not thread-safe.
class ProfileFile {
 public:
  explicit ProfileFile(std::filesystem::path path);

  // Looks at the file again; true when the reading has changed.
  bool Refresh();
  const ProfileReading& reading() const { return reading_; }

 private:
  struct Stamp {
    std::filesystem::file_time_type modified;
    std::uintmax_t size = 0;
    bool operator==(const Stamp&) const = default;
  };

  bool SetError(std::string error);

  std::filesystem::path path_;
  Stamp stamp_;
  ProfileReading reading_;
};

}  // namespace headrace
