// `headrace demo`: the whole thing on a laptop without a GPU.
#pragma once

#include <CLI/CLI.hpp>

namespace headrace::cli {

void AddDemoCommand(CLI::App& app);

}  // namespace headrace::cli
