// Lines that are written by a thread of their own, so that nobody waits for a slow reader.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/result.h"
#include "base/units.h"
#include "system/mutex.h"

namespace headrace::system {

// Appends lines to a file, or to standard output. Thread-safe; never blocks its callers: what a
// reader does not take in time is dropped and counted, and so is what the disk has no room for.
class LineWriter {
 public:
  static constexpr std::size_t kMostWaitingBytes = std::size_t{4} << 20;

  // Hears, on the writer's thread, after each attempt what is wrong (a phrase), or "" for nothing.
  using OnWritten = std::function<void(const std::string& fault)>;

  // `path`: "stdout", or a file, which is opened anew once it was moved away: at Reopen, or within
  // a second of the next line. A file that is copied and emptied instead goes on at its beginning.
  // The error names it.
  static Result<std::unique_ptr<LineWriter>> Open(const std::string& path,
                                                  OnWritten on_written = nullptr);
  // Writes what waits, as far as that is taken within a second.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // Without its line break.
  void Write(std::string_view line);
  // The file may have been moved away: it is looked for now, whether or not there are lines.
  void Reopen();
  // Lines that were dropped.
  std::uint64_t dropped() const { return dropped_; }

 private:
  LineWriter(std::string path, int file, OnWritten on_written);
  void Run();
  // False once it takes too long at the end.
  bool Put(std::string_view text);
  void Lose(std::string_view text, int error);
  void OpenAnew();

  const std::string path_;  // Empty: standard output.
  const OnWritten on_written_;
  // Of the thread.
  int file_;
  std::string fault_;
  bool torn_ = false;  // The last line is not whole.
  std::atomic<std::uint64_t> dropped_ = 0;
  Mutex mutex_;
  ConditionVariable changed_;
  std::string waiting_ HEADRACE_GUARDED_BY(mutex_);
  bool reopen_ HEADRACE_GUARDED_BY(mutex_) = false;
  bool stopping_ HEADRACE_GUARDED_BY(mutex_) = false;
  std::atomic<Seconds> give_up_ = kNever;
  std::thread thread_;
};

}  // namespace headrace::system
