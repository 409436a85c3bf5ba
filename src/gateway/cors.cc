#include "gateway/cors.h"

#include <algorithm>
#include <string_view>

namespace headrace::gateway {
namespace {

constexpr std::string_view kMethods = "GET, HEAD, POST, DELETE, OPTIONS";
// Beside those that a page may read anyway.
constexpr std::string_view kExposed =
    "request-id, x-request-id, target-pod, target-deployment, routing-strategy, "
    "x-headrace-asked-strategy, x-headrace-explain, retry-after, x-should-retry, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";

}  // namespace

void AddCorsFields(const config::CorsConfig& cors, const net::HttpExchange& exchange,
                   std::string& head) {
  const std::string_view origin = exchange.Header("origin");
  const bool any = std::ranges::find(cors.origins, "*") != cors.origins.end();
  // What is listed for some must not be kept for others by a cache between.
  if (!any) head += "vary: origin\r\n";
  if (origin.empty()) return;
  if (!any && std::ranges::find(cors.origins, origin) == cors.origins.end()) return;
  const auto add = [&head](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  add("access-control-allow-origin", any ? "*" : origin);
  add("access-control-expose-headers", kExposed);
  if (exchange.method() != "OPTIONS" || exchange.Header("access-control-request-method").empty()) {
    return;
  }
  add("access-control-allow-methods", kMethods);
  // All that it asks for: `*` would not cover `authorization`.
  if (const auto headers = exchange.Header("access-control-request-headers"); !headers.empty()) {
    add("access-control-allow-headers", headers);
  }
  add("access-control-max-age", std::to_string(static_cast<long>(cors.max_age)));
}

}  // namespace headrace::gateway
