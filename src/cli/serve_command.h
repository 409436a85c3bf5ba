// `headrace serve`: the gateway in front of a fleet.
#pragma once

#include <CLI/CLI.hpp>

namespace headrace::cli {

void AddServeCommand(CLI::App& app);

}  // namespace headrace::cli
