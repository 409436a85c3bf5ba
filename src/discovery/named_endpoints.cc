#include "discovery/named_endpoints.h"

#include <algorithm>
#include <set>
#include <utility>

namespace headrace::discovery {
namespace {

// The endpoints of one name.
std::vector<DiscoveredEndpoint> EndpointsOf(const NamedEndpoint& named,
                                            const NameResolver::Answer& answer) {
  DiscoveredEndpoint endpoint{.address = named.url.ToString(),
                              .max_in_flight = named.max_in_flight,
                              .weight = named.weight,
                              .access = named.access};
  if (answer.addresses.empty()) {
    endpoint.fault = answer.fault;
    return {endpoint};
  }
  if (!named.every_address) {
    endpoint.resolved = answer.addresses.front();
    return {endpoint};
  }
  std::vector<DiscoveredEndpoint> all;
  for (const system::SocketAddress& address : answer.addresses) {
    endpoint.address = named.url.With(*system::ParseHostPort(address.ToString()));
    endpoint.resolved = address;
    all.push_back(endpoint);
  }
  std::ranges::sort(all, {}, &DiscoveredEndpoint::address);
  return all;
}

}  // namespace

bool NamedEndpoints::Refresh(Seconds now) {
  EndpointSnapshot snapshot;
  std::set<std::string> taken;
  std::string outage;  // Of names that keep their old addresses.
  int outages = 0;
  for (const NamedDeployment& deployment : deployments_) {
    DiscoveredDeployment& discovered =
        snapshot.emplace_back(deployment.name, deployment.max_in_flight);
    discovered.max_model_len = deployment.max_model_len;
    discovered.kv_tokens = deployment.kv_tokens;
    discovered.stream_options = deployment.stream_options;
    for (const NamedEndpoint& named : deployment.endpoints) {
      const NameResolver::Answer answer = resolver_->Look(named.url.host, now);
      if (!answer.fault.empty() && !answer.addresses.empty() && outages++ == 0) {
        outage = answer.fault;
      }
      for (DiscoveredEndpoint& endpoint : EndpointsOf(named, answer)) {
        if (taken.insert(endpoint.address).second) {
          discovered.endpoints.push_back(std::move(endpoint));
        }
      }
    }
  }
  if (outages > 1) outage += " (and " + std::to_string(outages - 1) + " more of the names)";
  return Publish(std::move(snapshot), std::move(outage));
}

}  // namespace headrace::discovery
