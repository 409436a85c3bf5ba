#include "slo/slo.h"

#include "base/text.h"

namespace headrace::slo {

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
  add("ntpot", slo.ntpot);
  add("e2e", slo.e2e);
  return text.empty() ? "none" : text;
}

}  // namespace headrace::slo
