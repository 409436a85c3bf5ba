// Options and steps that several `headrace profile` subcommands share.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "render/profile_view.h"
#include "slo/slo.h"

namespace headrace::cli {

// The places of discovery/stored_profiles.h, as options describe them.
inline constexpr const char* kPlaces = "Files, directories of *.json, redis://HOST[?model=M]";
inline constexpr const char* kProfileTarget =
    "File, DIRECTORY/ (→ NAME.json in it) or redis://HOST?model=M; - = stdout";

// --percentile, --e2e, --ttft, --tpot, --tpat, --tput, --tt.
void AddSloOptions(CLI::App& command, slo::Slo& slo);

// The profiles at these places with their faults at `now` (Unix time). A profile that cannot be
// used is printed to `errors` and counted in `refused`.
std::vector<render::ProfileView> ViewProfiles(const std::vector<std::string>& places, Seconds now,
                                              std::FILE* errors, std::size_t& refused);

}  // namespace headrace::cli
