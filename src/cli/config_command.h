// `headrace config …`: the configuration file, without starting anything.
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string_view>

namespace headrace {

// Adds `config check FILE` (every fault to standard error and status 1, else a line about what the
// file declares) and `config reference` (docs/configuration.md to standard output). `policies` are
// the names that a model's policy may have.
void AddConfigCommand(CLI::App& app, std::span<const std::string_view> policies);

}  // namespace headrace
