// headrace profile generate | check | show
#pragma once

#include <CLI/CLI.hpp>

namespace headrace::cli {

// Registers the subcommand. When it has run, it throws CLI::RuntimeError with its exit status
// unless that is 0; CLI11_PARSE in main turns that into the program's. Exit status: 0 done
// (warnings are no failure), 1 something is wrong with a profile, a benchmark or a file.
void AddProfileCommand(CLI::App& app);

}  // namespace headrace::cli
