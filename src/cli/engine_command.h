// `headrace engine`: an emulated engine in the foreground.
#pragma once

#include <CLI/CLI.hpp>

namespace headrace::cli {

// Registers the subcommand. It serves until SIGINT or SIGTERM. What keeps it from starting goes to
// standard error; it then throws CLI::RuntimeError with status 1, which CLI11_PARSE in main turns
// into the program's.
void AddEngineCommand(CLI::App& app);

}  // namespace headrace::cli
