// headrace profile import: other tools' figures.
#pragma once

#include <CLI/CLI.hpp>

namespace headrace::cli {

void AddImport(CLI::App& profile);

}  // namespace headrace::cli
