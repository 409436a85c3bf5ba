#include "system/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

#include "base/text.h"
#include "system/clock.h"

namespace headrace::system {

namespace fs = std::filesystem;

Result<FileLock> FileLock::Take(const std::string& path, Seconds patience) {
  constexpr Seconds kPause = 0.01;
  std::error_code error;
  fs::path file(path);
  if (fs::is_symlink(file, error)) file = fs::weakly_canonical(file, error);
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  FileLock lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock.folder_ < 0) {
    return Fail(path + ": its folder cannot be opened (" + std::strerror(errno) + ").");
  }
  const Seconds end = MonotonicNow() + patience;
  while (flock(lock.folder_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return Fail(path + ": its folder cannot be locked (" + std::strerror(errno) + ").");
    }
    if (MonotonicNow() >= end) {
      return Fail(path + ": another command has been changing it for " + FormatDuration(patience) +
                  "; try again when that has ended.");
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(kPause));
  }
  return Result<FileLock>(std::move(lock));
}

FileLock::~FileLock() {
  if (folder_ >= 0) close(folder_);
}

}  // namespace headrace::system
