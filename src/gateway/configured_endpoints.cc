#include "gateway/configured_endpoints.h"

#include <memory>
#include <utility>
#include <vector>

#include "discovery/named_endpoints.h"
#include "system/clock.h"
#include "system/http_url.h"

namespace headrace::gateway {
namespace {

// So long is waited for names at first, so that most gateways start with all endpoints.
constexpr Seconds kFirstLook = 1;

}  // namespace

Result<EndpointSources> ConfiguredSources(const config::Config& config) {
  // One for the whole process: what was resolved once is known when another configuration comes.
  static const auto resolver = std::make_shared<discovery::NameResolver>();
  EndpointSources sources;
  for (const config::ModelConfig& model : config.models) {
    std::vector<discovery::NamedDeployment> deployments;
    for (const config::DeploymentConfig& deployment : model.deployments) {
      discovery::NamedDeployment& named = deployments.emplace_back(
          discovery::NamedDeployment{.name = deployment.name,
                                     .max_in_flight = deployment.max_in_flight,
                                     .max_model_len = deployment.max_model_len,
                                     .kv_tokens = deployment.kv_tokens,
                                     .stream_options = deployment.stream_options});
      for (const std::string& text : deployment.endpoints) {
        HEADRACE_ASSIGN(const auto url, system::ParseHttpUrl(text));
        named.endpoints.push_back({.url = url});
      }
    }
    sources.push_back(
        std::make_unique<discovery::NamedEndpoints>(std::move(deployments), resolver));
  }
  for (const auto& source : sources) source->Refresh(system::MonotonicNow());
  resolver->Wait(kFirstLook);
  for (const auto& source : sources) source->Refresh(system::MonotonicNow());
  return sources;
}

}  // namespace headrace::gateway
