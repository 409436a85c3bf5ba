#include "emulator/output_plan.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::emulator {
namespace {

// With the space before it, each is one token of the emulated tokenizer.
constexpr std::array<std::string_view, 64> kWords = {
    "the", "and", "for", "you", "can", "use", "one", "two", "set", "run", "get", "put", "key",
    "map", "fit", "log", "bit", "row", "sum", "max", "min", "new", "old", "way", "day", "cup",
    "sea", "sky", "sun", "air", "box", "car", "dog", "cat", "cow", "hen", "ink", "jar", "kit",
    "lid", "mix", "net", "oak", "pen", "red", "sap", "tea", "van", "wax", "yes", "zoo", "arm",
    "bay", "cap", "dam", "ear", "fan", "gap", "hat", "ice", "job", "lab", "mud", "nut"};

}  // namespace

std::string_view OutputPlan::After(Tokens generated) const {
  const auto bytes = static_cast<std::size_t>(generated) * kBytesPerToken;
  return std::string_view(text).substr(0, bytes);
}

Tokens DrawOutputLength(Rng& rng) {
  const double tokens = kMedianOutput * std::exp(kOutputSigma * rng.Normal());
  return static_cast<Tokens>(std::clamp(tokens, 1.0, 1e6));
}

OutputPlan PlanOutput(const EngineRequest& request, Tokens natural, Tokens limit, Rng& rng) {
  OutputPlan plan;
  plan.tokens = request.ignore_eos ? limit : std::min(natural, limit);
  plan.finish_reason = request.ignore_eos || natural > limit ? "length" : "stop";
  plan.text.reserve(static_cast<std::size_t>(plan.tokens) * kBytesPerToken);
  for (Tokens i = 0; i < plan.tokens; ++i) {
    plan.text += ' ';
    plan.text += kWords[rng.Below(kWords.size())];
  }
  // The engine stops after the token that completes a stop string: the one that is complete first.
  std::size_t end = std::string::npos;
  std::size_t begin = 0;
  for (const std::string& stop : request.stop) {
    const std::size_t at = plan.text.find(stop);
    if (at == std::string::npos || at + stop.size() >= end) continue;
    begin = at;
    end = at + stop.size();
  }
  if (end == std::string::npos) return plan;
  plan.tokens = static_cast<Tokens>((end + kBytesPerToken - 1) / kBytesPerToken);
  plan.text.resize(begin);
  plan.finish_reason = "stop";
  return plan;
}

}  // namespace headrace::emulator
