#include "slo/slo.h"

#include "base/text.h"

namespace headrace::slo {

std::optional<Target> TargetOf(const Slo& slo, Tokens prompt_tokens, Tokens output_tokens) {
  using enum Target::Measure;
  if (slo.tpot) return Target{kE2e, *slo.tpot * output_tokens + slo.ttft.value_or(0)};
  if (slo.ttft) return Target{kTtft, *slo.ttft};
  if (slo.tpat) {
    return Target{kE2e, *slo.tpat * (static_cast<double>(prompt_tokens) + output_tokens)};
  }
  if (slo.e2e) return Target{kE2e, *slo.e2e};
  return std::nullopt;
}

std::string Describe(const Slo& slo) {
  std::string text;
  const auto add = [&text](const char* name, const std::optional<Seconds>& target) {
    if (!target) return;
    if (!text.empty()) text += ", ";
    text += name;
    text += ' ';
    text += FormatDuration(*target);
  };
  add("ttft", slo.ttft);
  add("tpot", slo.tpot);
  add("tpat", slo.tpat);
  add("e2e", slo.e2e);
  return text.empty() ? "none" : text;
}

}  // namespace headrace::slo
