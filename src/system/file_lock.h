// One who changes a file at a time.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "base/units.h"

namespace headrace::system {

// For who reads a file, and then writes it anew: while it lives, nobody else who asks for the same
// file has one, in any process. What it locks is the file's folder, as the file itself is replaced.
class FileLock {
 public:
  // Errors: another one lives on for `patience`, or the folder cannot be locked.
  static Result<FileLock> Take(const std::string& path, Seconds patience = 10);
  ~FileLock();
  FileLock(FileLock&& other) noexcept : folder_(std::exchange(other.folder_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;

 private:
  explicit FileLock(int folder) : folder_(folder) {}
  int folder_;
};

}  // namespace headrace::system
