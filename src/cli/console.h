// Output, status lines and ends of the subcommands.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <utility>

#include "base/limits.h"
#include "base/result.h"
#include "base/units.h"
#include "render/terminal.h"

namespace headrace::cli {

void Print(std::FILE* stream, const std::string& text);

// Whether some of what was printed there is lost: the disk is full, or the stream closed. Not where
// its reader has left, who wants no more.
bool IsLost(std::FILE* stream);

// Exit statuses.
inline constexpr int kFailed = 1;
inline constexpr int kMisused = 2;  // The command line itself cannot be meant.

// Prints the sentence to standard error and ends the program.
[[noreturn]] void Stop(const std::string& sentence, int status = kFailed);

template <typename T>
T OrStop(Result<T> result, int status = kFailed) {
  if (!result) Stop(result.error().message, status);
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// Columns of the terminal that a file is; `otherwise` if it is none.
std::size_t TerminalWidth(int file, std::size_t otherwise);

// That of standard output: colours only on a terminal, and not under NO_COLOR (no-color.org).
render::TextStyle OutputStyle();

// A line on standard error that is rewritten in place, cut to the terminal's width; nothing unless
// that is a terminal.
class StatusLine {
 public:
  StatusLine();
  ~StatusLine() { Show(""); }
  bool live() const { return live_; }
  void Show(const std::string& text);
  // Prints a line that stays, in place of the status.
  void Print(const std::string& line);

 private:
  const bool live_;
};

// "25 min left", from how long `done` of `all` equal steps took; empty while none is done.
std::string TimeLeft(Seconds elapsed, std::size_t done, std::size_t all);

// A validator without its description, which would clutter the help.
CLI::Validator Quiet(CLI::Validator validator);

// A check: a number in this range. CLI11's own lets NaN through.
CLI::Validator Within(const NumberRange& range);

// A transformation for options in seconds: a duration in this range, like 50ms or 1h30m; a number
// alone is seconds.
CLI::Validator InSeconds(const NumberRange& range);

}  // namespace headrace::cli
