// Profiles where people keep them: files, directories, Redis.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "profile/gpu_profile.h"
#include "render/profile_view.h"

namespace headrace::cli {

// What options and help say of such a place.
inline constexpr const char* kPlaces = "Files, directories of *.json, redis://HOST[?model=M]";

struct StoredProfile {
  std::string origin;  // The file, or the key in Redis: begins every sentence about it.
  std::string model;   // Where the place tells it: in Redis; else empty.
  std::string text;    // As it stands there.
  Result<profile::ParsedProfile> parsed;
};

// Every profile at these places, in order; of Redis all, or those of `model`. One that cannot be
// read or parsed has the error in `parsed`. Errors: a place that does not exist, cannot be reached,
// or holds no profile.
Result<std::vector<StoredProfile>> ReadProfiles(const std::vector<std::string>& places);

// The same with what is to be said of each at `now` (Unix time). Those that cannot be used are
// counted in `refused` and named on `errors`; the program ends where ReadProfiles fails.
std::vector<render::ProfileView> ViewProfiles(const std::vector<std::string>& places, Seconds now,
                                              std::FILE* errors, std::size_t& refused);

// Writes a deployment's profile to a file (`-`: the standard output), into a directory (as
// DEPLOYMENT.json; one that is not there is made where the place ends with a slash), or to
// redis://HOST?model=M under AIBrix's key. Answers where it is now.
Result<std::string> WriteProfile(std::string_view text, const std::string& deployment,
                                 const std::string& place);

}  // namespace headrace::cli
