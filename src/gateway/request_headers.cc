#include "gateway/request_headers.h"

#include <charconv>
#include <cmath>
#include <string>

namespace headrace {
namespace {

struct SloHeader {
  std::string_view name;
  std::optional<Seconds> Slo::* goal;
};
constexpr SloHeader kSloHeaders[] = {{"x-slo-ttft-ms", &Slo::ttft},
                                     {"x-slo-tpot-ms", &Slo::tpot},
                                     {"x-slo-tpat-ms", &Slo::tpat},
                                     {"x-slo-e2e-ms", &Slo::e2e}};

}  // namespace

tl::expected<RequestControls, RequestError> ReadControls(const HttpExchange& exchange) {
  RequestControls controls;
  if (const std::string_view strategy = exchange.Header("routing-strategy"); !strategy.empty()) {
    controls.policy = FindPolicy(strategy);
    if (controls.policy == nullptr) {
      std::string names;
      for (const PolicyInfo& policy : Policies()) {
        names += (names.empty() ? "" : ", ") + std::string(policy.name);
      }
      return tl::unexpected(
          RequestError{MakeApiError(400,
                                    "routing-strategy '" + std::string(strategy) +
                                        "' is not known; use one of " + names + ".",
                                    "routing-strategy"),
                       "x-error-invalid-routing-strategy"});
    }
  }
  for (const SloHeader& header : kSloHeaders) {
    const std::string_view value = exchange.Header(header.name);
    if (value.empty()) continue;
    double milliseconds = 0;
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), milliseconds);
    if (error != std::errc() || end != value.data() + value.size() ||
        !std::isfinite(milliseconds) || milliseconds <= 0) {
      return tl::unexpected(
          RequestError{MakeApiError(400,
                                    std::string(header.name) + " is '" + std::string(value) +
                                        "'; give a number of milliseconds above 0.",
                                    std::string(header.name)),
                       "x-error-routing"});
    }
    if (!controls.slo) controls.slo.emplace();
    (*controls.slo).*header.goal = milliseconds * kMillisecond;
  }
  return controls;
}

}  // namespace headrace
