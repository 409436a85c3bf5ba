// headrace profile measure: the benchmark that a GPU profile is made from.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "benchmark/grid_search.h"

namespace headrace::cli {

struct MeasureArguments {
  // An emulated GPU, in virtual time …
  std::string gpu;
  std::string gpus_file;
  // … or an endpoint.
  std::string endpoint;
  std::string deployment;
  std::string api = "completions";
  std::vector<std::string> headers;
  Seconds timeout = 600;

  std::string model;
  Tokens max_model_len = 0;  // 0: the engine's own.
  std::vector<Tokens> inputs;
  std::vector<Tokens> outputs;
  double lowest_rate = 0;
  double highest_rate = 0;
  double rate_step = 0;
  int samples = 0;
  std::uint64_t seed = 0;
  bool full_grid = false;
  slo::Slo slo;
  std::string output;
};

// The walk that the arguments describe; cells beyond `context` tokens are left out.
benchmark::GridPlan PlanOf(const MeasureArguments& arguments, Tokens context);

// Both end the program with a sentence when they fail.
void MeasureInVirtualTime(const MeasureArguments& arguments);
void MeasureEndpoint(const MeasureArguments& arguments);

void AddMeasure(CLI::App& profile);

}  // namespace headrace::cli
