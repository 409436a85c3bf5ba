// The whole program.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

namespace headrace::cli {

// Every subcommand and option.
std::unique_ptr<CLI::App> MakeProgram();

// Runs what the arguments say. Ignores SIGPIPE: a reader that leaves ends no run. The exit status:
// 0, well; 1, it failed; 2, the command line itself cannot be meant. Where the other is a result
// (`config diff`), its help says so.
int RunProgram(int argc, const char* const* argv);

}  // namespace headrace::cli
