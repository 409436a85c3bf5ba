#include "serving/request_controls.h"

#include <charconv>
#include <string>

#include "base/hash.h"
#include "base/limits.h"
#include "base/text.h"

namespace headrace::serving {
namespace {

struct SloHeader {
  std::string_view name;
  std::optional<Seconds> slo::Slo::* target;
};
// llm-d's names come first: where a request has both, ours hold.
constexpr SloHeader kSloHeaders[] = {
    {"x-llm-d-slo-ttft-ms", &slo::Slo::ttft}, {"x-llm-d-slo-tpot-ms", &slo::Slo::tpot},
    {"x-slo-ttft-ms", &slo::Slo::ttft},       {"x-slo-tpot-ms", &slo::Slo::tpot},
    {"x-slo-tpat-ms", &slo::Slo::tpat},       {"x-slo-ntpot-ms", &slo::Slo::ntpot},
    {"x-slo-e2e-ms", &slo::Slo::e2e}};

// llm-d has given new names to headers of the Gateway API Inference Extension; both are used.
std::string_view HeaderOf(const HeaderLookup& header, std::string_view name,
                          std::string_view older) {
  const std::string_view value = header(name);
  return value.empty() ? header(older) : value;
}

std::string_view FairnessId(const HeaderLookup& header) {
  return HeaderOf(header, "x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id");
}

scheduler::TenantId TenantOf(const HeaderLookup& header) {
  if (const auto name = FairnessId(header); !name.empty()) return HashOf(name);
  for (const std::string_view field : {"authorization", "x-api-key", "api-key"}) {
    // A key is no name, even if it has the same text.
    if (const auto key = header(field); !key.empty()) return ~HashOf(key);
  }
  return scheduler::kNoTenant;
}

}  // namespace

std::string_view ModelRewrite(const HeaderLookup& header) {
  return HeaderOf(header, "x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite");
}

tl::expected<RequestControls, ErrorReply> ReadControls(const HeaderLookup& header, const Pool& pool,
                                                       ForeignStrategies foreign) {
  RequestControls controls;
  if (const std::string_view strategy = header("routing-strategy"); !strategy.empty()) {
    controls.policy = routing::FindPolicy(strategy);
    if (controls.policy == nullptr && foreign == ForeignStrategies::kNearest) {
      controls.policy = routing::NearestPolicy(strategy);
      controls.asked_policy = strategy;
    }
    if (controls.policy == nullptr) {
      std::string names;
      for (const routing::PolicyInfo& policy : routing::Policies()) {
        names += (names.empty() ? "" : ", ") + std::string(policy.name);
      }
      return tl::unexpected(
          MakeErrorReply(openai::MakeApiError(400,
                                              "routing-strategy '" + Excerpt(strategy) +
                                                  "' is not known; use one of " + names + ".",
                                              "routing-strategy"),
                         "x-error-invalid-routing-strategy"));
    }
  }
  if (const std::string_view explain = header("x-headrace-explain"); !explain.empty()) {
    if (explain != "0" && explain != "1") {
      return tl::unexpected(MakeErrorReply(
          openai::MakeApiError(400,
                               "x-headrace-explain is '" + Excerpt(explain) +
                                   "'; give 1 to have the choice of the endpoint explained.",
                               "x-headrace-explain"),
          "x-error-routing"));
    }
    controls.explain = explain == "1";
  }
  for (const SloHeader& slo_header : kSloHeaders) {
    const std::string_view value = header(slo_header.name);
    if (value.empty()) continue;
    double milliseconds = 0;
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), milliseconds);
    if (error != std::errc() || end != value.data() + value.size() ||
        !limits::kLatency.Contains(milliseconds * kMillisecond)) {
      return tl::unexpected(MakeErrorReply(
          openai::MakeApiError(400,
                               std::string(slo_header.name) + " is '" + Excerpt(value) +
                                   "'; give a number of milliseconds above 0, at most 30 days.",
                               std::string(slo_header.name)),
          "x-error-routing"));
    }
    if (!controls.slo) controls.slo.emplace();
    (*controls.slo).*slo_header.target = milliseconds * kMillisecond;
  }
  const std::string_view objective =
      HeaderOf(header, "x-llm-d-inference-objective", "x-gateway-inference-objective");
  if (!objective.empty()) controls.priority = pool.PriorityOf(objective);
  controls.tenant = TenantOf(header);
  controls.tenant_name = FairnessId(header);
  return controls;
}

}  // namespace headrace::serving
