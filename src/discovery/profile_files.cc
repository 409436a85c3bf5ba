#include "discovery/profile_files.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace headrace::discovery {
namespace {

constexpr Seconds kInterval = 2;

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// Nullopt if it cannot be read to its end; errno says why.
std::optional<std::string> ReadAll(const std::filesystem::path& path) {
  const std::unique_ptr<std::FILE, Closer> file(std::fopen(path.c_str(), "rb"));
  if (!file) return std::nullopt;
  std::string text;
  std::array<char, 1 << 16> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    text.append(buffer.data(), count);
  }
  if (std::ferror(file.get()) != 0) return std::nullopt;
  return text;
}

}  // namespace

ProfileFiles::ProfileFiles(std::vector<std::filesystem::path> paths)
    : paths_(std::move(paths)), stamps_(paths_.size()) {
  for (const std::filesystem::path& path : paths_) {
    readings_.emplace_back().origin = path.string();
  }
}

bool ProfileFiles::Refresh(Seconds now) {
  if (now < next_check_) return false;
  next_check_ = now + kInterval;
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
    return SetError(reading,
                    reading.origin + ": " +
                        (missing ? "no such file; generate a profile there with `headrace profile "
                                   "generate`, or route the model by a policy that needs no "
                                   "profiles"
                                 : code.message()) +
                        ".",
                    missing);
  }
  if (stamp == stamps_[index]) return false;

  errno = 0;
  const auto text = ReadAll(path);
  if (!text) {
    stamps_[index] = {};  // A change of its permissions does not show in the stamp.
    return SetError(reading, reading.origin + ": cannot be read (" +
                                 std::generic_category().message(errno) +
                                 "); let the gateway's user read it.");
  }
  stamps_[index] = stamp;
  SetText(reading, *text);
  return true;
}

}  // namespace headrace::discovery
