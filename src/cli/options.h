// Options and inputs that several subcommands share.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "engine/gpu_catalog.h"
#include "render/profile_view.h"
#include "slo/slo.h"

namespace headrace::cli {

// Reads a configuration file, with this process's environment; the policies that it may name are
// those of routing/registry.cc.
Result<config::Config> LoadConfigFile(const std::string& path);
// Its two steps.
Result<std::string> ReadConfigFile(const std::string& path);
Result<config::Config> ParseConfig(std::string_view text, const std::string& path);
// The names that a model's policy may have.
std::vector<std::string_view> PolicyNames();

// --gpus: GPU types and models to emulate.
CLI::Option* AddGpusOption(CLI::App& command, std::string& file);
// The catalog in this file; the built-in one if `file` is empty.
engine::GpuCatalog ReadGpuCatalog(const std::string& file);

// --header: more headers for each request, "Name: value".
CLI::Option* AddHeaderOption(CLI::App& command, std::vector<std::string>& headers);

// Raises how many files and sockets this process may open as far as it can; ends the program unless
// so many sockets are among them, which `what` needs.
void NeedSockets(std::uint64_t sockets, const std::string& what);

// --percentile, --e2e, --ttft, --tpot, --tpat, --ntpot, --tput, --tt.
void AddSloOptions(CLI::App& command, slo::Slo& slo);

// Places of profiles, as discovery/stored_profiles.h reads and writes them.
void AddPlaces(CLI::App& command, std::vector<std::string>& places);
CLI::Option* AddProfileTarget(CLI::App& command, std::string& target);

// The profiles at these places with their faults at `now` (Unix time). A profile that cannot be
// used is printed to `errors` and counted in `refused`.
std::vector<render::ProfileView> ViewProfiles(const std::vector<std::string>& places, Seconds now,
                                              std::FILE* errors, std::size_t& refused);

// A sentence about a file that is neither benchmark nor profile, but another tool's result of which
// one can be made; empty if it is none.
std::string WhatToDoWith(std::string_view text, const std::string& name);

// "error    MESSAGE" or "warning  MESSAGE", with a line end.
std::string FaultLine(const profile::ProfileFault& fault);

}  // namespace headrace::cli
