// headrace profile measure: the benchmark that a GPU profile is made from.
#pragma once

#include <CLI/CLI.hpp>

namespace headrace {

void AddMeasure(CLI::App& profile);

}  // namespace headrace
