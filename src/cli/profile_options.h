// What several `headrace profile` subcommands can be told.
#pragma once

#include <CLI/CLI.hpp>

#include "slo/slo.h"

namespace headrace::cli {

// --percentile, --e2e, --ttft, --tpot, --tpat, --tput, --tt.
void AddSloOptions(CLI::App& command, slo::Slo& slo);

}  // namespace headrace::cli
