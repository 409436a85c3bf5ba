// The headers by which a client controls how its request is routed.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <tl/expected.hpp>

#include "routing/policy.h"
#include "serving/error_reply.h"
#include "slo/slo.h"

namespace headrace::serving {

// The value of the header with this (lower-case) name; "" when the request has none.
using HeaderLookup = std::function<std::string_view(std::string_view name)>;

struct RequestControls {
  const routing::PolicyInfo* policy = nullptr;  // `routing-strategy`; null = the pool's own.
  // `x-slo-ttft-ms`, `x-slo-tpot-ms`, `x-slo-tpat-ms`, `x-slo-ntpot-ms`, `x-slo-e2e-ms`. When a
  // request has any target of its own, only its own targets hold.
  std::optional<slo::Slo> slo;
};

tl::expected<RequestControls, ErrorReply> ReadControls(const HeaderLookup& header);

}  // namespace headrace::serving
