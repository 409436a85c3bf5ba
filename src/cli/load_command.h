// `headrace load`: open-loop load on an OpenAI-compatible server.
#pragma once

#include <CLI/CLI.hpp>

namespace headrace {

void AddLoadCommand(CLI::App& app);

}  // namespace headrace
