// The control headers of a request.
#pragma once

#include <optional>

#include "net/http_server.h"
#include "openai/error.h"
#include "routing/policy.h"
#include "slo/slo.h"

namespace headrace::gateway {

struct RequestControls {
  const routing::PolicyInfo* policy = nullptr;  // `routing-strategy`; null = the model's own.
  // `x-slo-ttft-ms`, `x-slo-tpot-ms`, `x-slo-tpat-ms`, `x-slo-e2e-ms`. A request that states any
  // goal of its own is held to its own goals alone.
  std::optional<slo::Slo> slo;
};

// A refusal, with AIBrix's header that tells the kind of error.
struct RequestError {
  openai::ApiError error;
  std::string_view header;  // E.g. "x-error-invalid-routing-strategy".
};

tl::expected<RequestControls, RequestError> ReadControls(const net::HttpExchange& exchange);

}  // namespace headrace::gateway
