// Reads and writes profiles where people keep them: files, directories, Redis.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "profile/gpu_profile.h"

namespace headrace::discovery {

struct StoredProfile {
  std::string origin;  // The file, or the key in Redis: begins every message about it.
  std::string model;   // If the place names it: in Redis; else empty.
  std::string text;    // The stored bytes.
  Result<profile::ParsedProfile> parsed;
};

// Every profile at these places, in order. A place is a file, a directory (its *.json) or
// redis://HOST[?model=NAME] (all profiles there, or those of the model). A profile that cannot be
// read or parsed has the error in `parsed`. Errors: a place that does not exist, cannot be reached
// or holds no profile.
Result<std::vector<StoredProfile>> ReadProfiles(const std::vector<std::string>& places);

// Whether WriteProfile can write there: asked before the work whose result would be lost. Of Redis
// only the URL is judged.
Result<void> CheckPlace(const std::string& deployment, const std::string& place);

// Writes a deployment's profile to a file ("-" is standard output), into a directory (as
// DEPLOYMENT.json; it is made if the place ends with a slash), or to redis://HOST?model=NAME under
// AIBrix's key. Returns the file or the key that was written.
Result<std::string> WriteProfile(std::string_view text, const std::string& deployment,
                                 const std::string& place);

}  // namespace headrace::discovery
