#include "discovery/named_endpoints.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace headrace::discovery {
namespace {

// As often as CoreDNS, with its defaults, learns of a pod that comes or goes.
constexpr Seconds kInterval = 5;

}  // namespace

NamedEndpoints::NamedEndpoints(const std::vector<NamedDeployment>& deployments, Resolver resolver)
    : resolver_(std::move(resolver)) {
  for (const NamedDeployment& named : deployments) {
    Deployment deployment{.name = named.name,
                          .max_in_flight = named.max_in_flight,
                          .max_model_len = named.max_model_len,
                          .kv_tokens = named.kv_tokens,
                          .stream_options = named.stream_options};
    for (const std::string& address : named.endpoints) {
      deployment.names.push_back({.address = address, .group = false});
    }
    for (const std::string& address : named.groups) {
      deployment.names.push_back({.address = address, .group = true});
    }
    deployments_.push_back(std::move(deployment));
  }
}

bool NamedEndpoints::Refresh(Seconds now) {
  if (now < next_look_) return false;
  next_look_ = now + kInterval;
  for (Deployment& deployment : deployments_) {
    for (Name& name : deployment.names) {
      if (name.group || name.endpoints.empty()) LookUp(name);
    }
  }
  return Publish(Snapshot(), Outage());
}

void NamedEndpoints::LookUp(Name& name) const {
  auto addresses = system::ParseHostPort(name.address).and_then(resolver_);
  if (addresses && addresses->empty()) addresses = Fail(name.address + " has no address");
  if (!addresses) {
    name.error = addresses.error().message;
    return;
  }
  name.error.clear();
  name.endpoints.clear();
  if (!name.group) {
    name.endpoints.push_back({name.address, addresses->front()});
    return;
  }
  // A resolver may list the same addresses in another order each time.
  for (const system::SocketAddress& address : *addresses) {
    name.endpoints.push_back({address.ToString(), address});
  }
  std::ranges::sort(name.endpoints, {}, &DiscoveredEndpoint::address);
}

EndpointSnapshot NamedEndpoints::Snapshot() const {
  EndpointSnapshot snapshot;
  std::set<std::string_view> taken;
  for (const Deployment& deployment : deployments_) {
    DiscoveredDeployment& discovered =
        snapshot.emplace_back(deployment.name, deployment.max_in_flight);
    discovered.max_model_len = deployment.max_model_len;
    discovered.kv_tokens = deployment.kv_tokens;
    discovered.stream_options = deployment.stream_options;
    for (const Name& name : deployment.names) {
      for (const DiscoveredEndpoint& endpoint : name.endpoints) {
        if (taken.insert(endpoint.address).second) discovered.endpoints.push_back(endpoint);
      }
    }
  }
  return snapshot;
}

std::string NamedEndpoints::Outage() const {
  std::string outage;
  int more = 0;
  for (const Deployment& deployment : deployments_) {
    for (const Name& name : deployment.names) {
      if (name.error.empty()) continue;
      if (outage.empty()) {
        outage = name.error;
      } else {
        ++more;
      }
    }
  }
  if (more > 0) outage += " (and " + std::to_string(more) + " more of the names)";
  return outage;
}

}  // namespace headrace::discovery
