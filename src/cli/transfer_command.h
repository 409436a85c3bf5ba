// `headrace profile list`, `push` and `pull`.
#pragma once

#include <CLI/CLI.hpp>

namespace headrace::cli {

void AddList(CLI::App& profile);
void AddPush(CLI::App& profile);
void AddPull(CLI::App& profile);

}  // namespace headrace::cli
