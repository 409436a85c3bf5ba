// What several `headrace profile` subcommands can be told.
#pragma once

#include <CLI/CLI.hpp>

#include "profile/slo.h"

namespace headrace {

// --percentile, --e2e, --ttft, --tpot, --tpat, --tput, --tt.
void AddSloOptions(CLI::App& command, Slo& slo);

}  // namespace headrace
