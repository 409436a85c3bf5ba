// `headrace load`: open-loop load on an OpenAI-compatible server.
#pragma once

#include <CLI/CLI.hpp>

namespace headrace::cli {

void AddLoadCommand(CLI::App& app);

}  // namespace headrace::cli
