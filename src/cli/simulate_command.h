// headrace simulate
#pragma once

#include <CLI/CLI.hpp>

namespace headrace::cli {

// Registers the subcommand: runs a scenario under several policies in virtual time and writes
// summary.json, report.html, its figures as *.svg and, on demand, requests.csv. Exit status: 0
// done, 1 something is wrong with the scenario or a file.
void AddSimulateCommand(CLI::App& app);

}  // namespace headrace::cli
