// The headers by which a client controls how its request is routed.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <tl/expected.hpp>

#include "routing/policy.h"
#include "scheduler/events.h"
#include "serving/error_reply.h"
#include "serving/header_lookup.h"
#include "serving/pool.h"
#include "slo/slo.h"

namespace headrace::serving {

// What is said to the router alone, and goes on to no engine.
inline constexpr std::array<std::string_view, 16> kControlHeaders = {
    "routing-strategy",
    "x-headrace-explain",
    "x-llm-d-slo-ttft-ms",
    "x-llm-d-slo-tpot-ms",
    "x-slo-ttft-ms",
    "x-slo-tpot-ms",
    "x-slo-tpat-ms",
    "x-slo-ntpot-ms",
    "x-slo-e2e-ms",
    "x-llm-d-inference-objective",
    "x-llm-d-inference-fairness-id",
    "x-llm-d-model-name-rewrite",
    "x-gateway-inference-objective",
    "x-gateway-inference-fairness-id",
    "x-gateway-model-name-rewrite",
    "x-gateway-destination-endpoint-subset"};

struct RequestControls {
  const routing::PolicyInfo* policy = nullptr;  // `routing-strategy`; null = the pool's own.
  // What that header said, where the policy is only the nearest to it. A view of the header.
  std::string_view asked_policy;
  // `x-slo-ttft-ms`, `x-slo-tpot-ms`, `x-slo-tpat-ms`, `x-slo-ntpot-ms`, `x-slo-e2e-ms`; the first
  // two also as `x-llm-d-slo-…`. When a request has any target of its own, only its own targets
  // hold.
  std::optional<slo::Slo> slo;
  // Of the objective that `x-llm-d-inference-objective` or `x-gateway-inference-objective` names.
  // One that the pool does not know is no error and has priority 0, as in the Gateway API's
  // endpoint picker.
  int priority = 0;
  // `x-llm-d-inference-fairness-id` or `x-gateway-inference-fairness-id`, else the API key in
  // `authorization`, `x-api-key` (Anthropic's clients) or `api-key` (Azure's); only its hash is
  // kept.
  scheduler::TenantId tenant = scheduler::kNoTenant;
  std::string_view tenant_name;  // Of the fairness ID; a view.
  bool explain = false;          // `x-headrace-explain`.
};

// What becomes of a strategy of AIBrix that is none of our policies.
enum class ForeignStrategies { kNearest, kRefused };

tl::expected<RequestControls, ErrorReply> ReadControls(
    const HeaderLookup& header, const Pool& pool,
    ForeignStrategies foreign = ForeignStrategies::kNearest);

// The model that the request is for, whatever its body names: `x-llm-d-model-name-rewrite` or
// `x-gateway-model-name-rewrite`, as routes set it; "": the header is not there. A view of it.
std::string_view ModelRewrite(const HeaderLookup& header);

}  // namespace headrace::serving
