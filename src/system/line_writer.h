// Lines that are written by a thread of their own, so that nobody waits for a slow reader.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/result.h"
#include "base/units.h"
#include "system/mutex.h"

namespace headrace::system {

// Appends lines to a file, or to standard output. Thread-safe; never blocks its callers: what a
// reader does not take in time is dropped and counted.
class LineWriter {
 public:
  static constexpr std::size_t kMostWaitingBytes = std::size_t{4} << 20;

  // `path`: "stdout", or a file, which is opened anew once it was moved away. The error names it.
  static Result<std::unique_ptr<LineWriter>> Open(const std::string& path);
  // Writes what waits, as far as that is taken within a second.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // Without its line break.
  void Write(std::string_view line);
  // Lines that were dropped.
  std::uint64_t dropped() const { return dropped_; }

 private:
  LineWriter(std::string path, int file);
  void Run();
  // False once it takes too long at the end.
  bool Put(std::string_view text);
  void Reopen();

  const std::string path_;  // Empty: standard output.
  int file_;                // Of the thread.
  std::atomic<std::uint64_t> dropped_ = 0;
  Mutex mutex_;
  ConditionVariable changed_;
  std::string waiting_ HEADRACE_GUARDED_BY(mutex_);
  bool stopping_ HEADRACE_GUARDED_BY(mutex_) = false;
  std::atomic<Seconds> give_up_ = kNever;
  std::thread thread_;
};

}  // namespace headrace::system
