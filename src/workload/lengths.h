// Lengths of prompts and outputs.
#pragma once

#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/units.h"

namespace headrace::workload {

struct RequestLength {
  Tokens prompt_tokens = 1;
  Tokens output_tokens = 1;
  bool operator==(const RequestLength&) const = default;
};

// One number of tokens.
struct FixedTokens {
  Tokens tokens = 1;
  bool operator==(const FixedTokens&) const = default;
};
// Every whole number from `low` to `high`, both included, equally likely.
struct UniformTokens {
  Tokens low = 1;
  Tokens high = 1;
  bool operator==(const UniformTokens&) const = default;
};
// Log-normal with this mean and coefficient of variation, rounded and clamped to low … high (which
// changes the mean a little).
struct LogNormalTokens {
  double mean = 1;
  double cv = 1;
  Tokens low = 1;
  Tokens high = 1 << 20;
  bool operator==(const LogNormalTokens&) const = default;
};
using TokenDistribution = std::variant<FixedTokens, UniformTokens, LogNormalTokens>;

// Prompt and output drawn independently.
struct DistributedLengths {
  TokenDistribution prompt;
  TokenDistribution output;
};
// Pairs drawn with replacement: a prompt length keeps its output length.
struct EmpiricalLengths {
  std::shared_ptr<const std::vector<RequestLength>> pairs;
};
// The lengths that a trace recorded with each arrival.
struct TraceLengths {};
using RequestLengths = std::variant<DistributedLengths, EmpiricalLengths, TraceLengths>;

// Not for TraceLengths.
RequestLength DrawLength(const RequestLengths& source, Rng& rng);

// An error says what is wrong, as a clause ("uniform: low 9 is above high 4; …").
Result<void> CheckRequestLengths(const RequestLengths& source);

// Reads CSV with the header `prompt_tokens,output_tokens`. Every error begins with `name` (a file)
// and the line.
Result<std::vector<RequestLength>> ParseLengthCsv(std::string_view csv, std::string_view name);

}  // namespace headrace::workload
