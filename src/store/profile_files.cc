#include "store/profile_files.h"

#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

namespace headrace {
namespace {

constexpr Seconds kInterval = 2;

}  // namespace

ProfileFiles::ProfileFiles(std::vector<std::filesystem::path> paths)
    : paths_(std::move(paths)), stamps_(paths_.size()) {
  for (const std::filesystem::path& path : paths_) {
    readings_.emplace_back().origin = path.string();
  }
}

bool ProfileFiles::Refresh(Seconds now) {
  if (now < next_look_) return false;
  next_look_ = now + kInterval;
  bool changed = false;
  for (std::size_t i = 0; i < paths_.size(); ++i) changed |= RefreshFile(i);
  return changed;
}

bool ProfileFiles::RefreshFile(std::size_t index) {
  const std::filesystem::path& path = paths_[index];
  ProfileReading& reading = readings_[index];
  std::error_code code;
  const Stamp stamp{std::filesystem::last_write_time(path, code),
                    code ? 0 : std::filesystem::file_size(path, code)};
  if (code) {
    stamps_[index] = {};
    const bool missing = code == std::errc::no_such_file_or_directory;
    return SetError(reading, reading.origin + ": " +
                                 (missing ? "no such file; generate a profile there with `headrace "
                                            "profile generate`, or take the deployment off the SLO "
                                            "policies"
                                          : code.message()) +
                                 ".");
  }
  if (stamp == stamps_[index]) return false;
  stamps_[index] = stamp;

  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return SetError(reading, reading.origin + ": cannot be read.");
  SetText(reading, text.view());
  return true;
}

}  // namespace headrace
