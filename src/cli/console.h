// How the subcommands speak and end.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <utility>

#include "base/result.h"

namespace headrace::cli {

void Print(std::FILE* stream, const std::string& text);

// Ends the program with status 1 after the sentence.
[[noreturn]] void Stop(const std::string& sentence);

template <typename T>
T OrStop(Result<T> result) {
  if (!result) Stop(result.error().message);
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// A validator without its own words, which would clutter the help.
CLI::Validator Quiet(CLI::Validator validator);

// A check: a number above 0. CLI11's own prints both ends of the range of a double in full.
CLI::Validator AboveZero();

// A transformation for options in seconds: a duration like 50ms or 1h30m; a number alone is
// seconds.
CLI::Validator InSeconds();

}  // namespace headrace::cli
