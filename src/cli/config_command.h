// `headrace config …`: the configuration file, without starting anything.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"
#include "config/config.h"

namespace headrace::cli {

// Reads a configuration file; the policies it may name are those of routing/registry.cc.
Result<config::Config> LoadConfigFile(const std::string& path);

// Adds `config check FILE` (every fault to standard error and status 1, else a line about what the
// file declares) and `config reference` (docs/configuration.md to standard output).
void AddConfigCommand(CLI::App& app);

}  // namespace headrace::cli
