// From the endpoints that the configuration names to what the gateway follows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "discovery/endpoint_source.h"
#include "gateway/kubernetes_models.h"

namespace headrace::gateway {

// One for each model of a configuration, in its order.
using EndpointSources = std::vector<std::unique_ptr<discovery::EndpointSource>>;

// One source for each model, in its order. Names are looked up while the gateway runs: one that has
// no address yet is an endpoint that is down. Errors: what an endpoint needs and is not there, such
// as a file. May wait for a second.
Result<EndpointSources> ConfiguredSources(const ServedConfig& served);

// The errors alone, without looking anything up.
Result<void> CheckEndpoints(const config::Config& config);
// What is allowed and dangerous, a sentence each.
std::vector<std::string> EndpointWarnings(const config::Config& config);

}  // namespace headrace::gateway
