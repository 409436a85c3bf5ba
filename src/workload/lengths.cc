#include "workload/lengths.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/csv.h"
#include "base/limits.h"
#include "base/text.h"

namespace headrace::workload {
namespace {

Tokens Draw(const FixedTokens& fixed, Rng&) { return fixed.tokens; }

Tokens Draw(const UniformTokens& uniform, Rng& rng) {
  const auto width = static_cast<std::uint64_t>(uniform.high - uniform.low) + 1;
  return uniform.low + static_cast<Tokens>(rng.Below(width));
}

Tokens Draw(const LogNormalTokens& log_normal, Rng& rng) {
  const double variance = std::log1p(log_normal.cv * log_normal.cv);
  const double mean = std::log(log_normal.mean) - variance / 2;
  const double tokens = std::exp(mean + std::sqrt(variance) * rng.Normal());
  return static_cast<Tokens>(std::clamp(std::round(tokens), static_cast<double>(log_normal.low),
                                        static_cast<double>(log_normal.high)));
}

Result<void> CheckRange(std::string_view kind, Tokens low, Tokens high) {
  if (high > limits::kMostTokens) {
    return Fail(std::string(kind) + ": " + std::to_string(high) + " tokens " +
                "are too many; a request has at most " + std::to_string(limits::kMostTokens));
  }
  if (low < 1) {
    return Fail(std::string(kind) + ": " + std::to_string(low) +
                " tokens are too few; a request has at least 1");
  }
  if (high < low) {
    return Fail(std::string(kind) + ": low " + std::to_string(low) + " is above high " +
                std::to_string(high) + "; swap them");
  }
  return {};
}

Result<void> Check(const FixedTokens& fixed) {
  return CheckRange("fixed", fixed.tokens, fixed.tokens);
}
Result<void> Check(const UniformTokens& uniform) {
  return CheckRange("uniform", uniform.low, uniform.high);
}
Result<void> Check(const LogNormalTokens& log_normal) {
  if (!limits::kTokens.Contains(log_normal.mean) ||
      !(log_normal.cv >= 0 && log_normal.cv <= limits::kCv.high)) {
    return Fail("lognormal: mean " + FormatNumber(log_normal.mean) + " and cv " +
                FormatNumber(log_normal.cv) + " must be a number of tokens and one from 0 to 100");
  }
  return CheckRange("lognormal", log_normal.low, log_normal.high);
}

}  // namespace

RequestLength DrawLength(const RequestLengths& source, Rng& rng) {
  if (const auto* empirical = std::get_if<EmpiricalLengths>(&source)) {
    return (*empirical->pairs)[rng.Below(empirical->pairs->size())];
  }
  const auto& distributed = std::get<DistributedLengths>(source);
  const auto draw = [&rng](const auto& kind) { return Draw(kind, rng); };
  RequestLength length;
  length.prompt_tokens = std::visit(draw, distributed.prompt);
  length.output_tokens = std::visit(draw, distributed.output);
  return length;
}

Result<void> CheckRequestLengths(const RequestLengths& source) {
  if (const auto* empirical = std::get_if<EmpiricalLengths>(&source)) {
    if (!empirical->pairs || empirical->pairs->empty()) {
      return Fail("there are no lengths to draw from; give a file with at least one pair");
    }
    return {};
  }
  const auto* distributed = std::get_if<DistributedLengths>(&source);
  if (distributed == nullptr) return {};
  for (const auto* side : {&distributed->prompt, &distributed->output}) {
    HEADRACE_TRY(std::visit([](const auto& kind) { return Check(kind); }, *side));
  }
  return {};
}

Result<std::vector<RequestLength>> ParseLengthCsv(std::string_view csv, std::string_view name) {
  CsvReader reader(csv, name);
  std::vector<RequestLength> lengths;
  HEADRACE_TRY(reader.ReadHeader({"prompt_tokens", "output_tokens"}));
  for (;;) {
    HEADRACE_ASSIGN(const bool more, reader.NextRow());
    if (!more) break;
    HEADRACE_ASSIGN(const Tokens prompt, reader.TokensAt(0));
    HEADRACE_ASSIGN(const Tokens output, reader.TokensAt(1));
    lengths.push_back({std::max(prompt, Tokens{1}), std::max(output, Tokens{1})});
  }
  if (reader.broken_line() > 0) return reader.FailHere("the line breaks off; write the file anew");
  if (lengths.empty()) return Fail(std::string(name) + ": there are no rows below the header");
  return lengths;
}

}  // namespace headrace::workload
