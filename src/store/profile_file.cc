#include "store/profile_file.h"

#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

namespace headrace {

ProfileFile::ProfileFile(std::filesystem::path path) : path_(std::move(path)) {
  reading_.origin = path_.string();
}

bool ProfileFile::SetError(std::string error) {
  if (reading_.error == error) return false;
  reading_.error = std::move(error);
  return true;
}

bool ProfileFile::Refresh() {
  std::error_code code;
  const Stamp stamp{std::filesystem::last_write_time(path_, code),
                    code ? 0 : std::filesystem::file_size(path_, code)};
  if (code) {
    stamp_ = {};
    const bool missing = code == std::errc::no_such_file_or_directory;
    return SetError(reading_.origin + ": " +
                    (missing ? "no such file; generate a profile there with `headrace profile "
                               "generate`, or take the deployment off the SLO policies"
                             : code.message()) +
                    ".");
  }
  if (stamp == stamp_) return false;
  stamp_ = stamp;

  std::ifstream file(path_, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return SetError(reading_.origin + ": cannot be read.");
  auto parsed = ParseGpuProfile(text.view(), reading_.origin);
  if (!parsed) return SetError(parsed.error().message);
  reading_.profile = std::make_shared<GpuProfile>(std::move(parsed->profile));
  reading_.faults = std::move(parsed->faults);
  reading_.error.clear();
  return true;
}

}  // namespace headrace
