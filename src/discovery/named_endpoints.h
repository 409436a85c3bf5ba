// Endpoints that the configuration names: fixed addresses, and DNS names of whole groups.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "discovery/endpoint_source.h"

namespace headrace::discovery {

// Every address of a name; system::ResolveAll outside of tests.
using Resolver =
    std::function<Result<std::vector<system::SocketAddress>>(const system::HostPort& name)>;

// The endpoints of one deployment, as they are written: `host:port` each.
struct NamedDeployment {
  std::string name;
  int max_in_flight = 0;  // Requests at one endpoint.
  // One endpoint each: the first address of the host, resolved once.
  std::vector<std::string> endpoints = {};
  // One endpoint for every address of the host, such as a headless service of Kubernetes has;
  // looked up again and again.
  std::vector<std::string> groups = {};
  // Most tokens of prompt and response together; 0: what the endpoints say.
  Tokens max_model_len = 0;
  Tokens kv_tokens = 0;        // That an endpoint's KV cache holds; 0: what the endpoints say.
  bool stream_options = true;  // Streams may be asked for their usage.
};

// Resolves the names, and looks those of groups up again every five seconds. A name that was never
// resolved has no endpoint yet and is tried again as often; one that was keeps its last good
// addresses. Endpoints of a group follow the others, ordered by their addresses, which are their
// names; an address that the pool has already is left out.
class NamedEndpoints final : public EndpointSource {
 public:
  explicit NamedEndpoints(const std::vector<NamedDeployment>& deployments,
                          Resolver resolver = system::ResolveAll);

  bool Refresh(Seconds now) override;

 private:
  struct Name {
    std::string address;
    bool group = false;
    std::vector<DiscoveredEndpoint> endpoints = {};  // As of the last look that succeeded.
    std::string error = {};                          // Of the last look; empty when it succeeded.
  };
  struct Deployment {
    std::string name;
    int max_in_flight = 0;
    Tokens max_model_len = 0;
    Tokens kv_tokens = 0;
    bool stream_options = true;
    std::vector<Name> names = {};
  };

  void LookUp(Name& name) const;
  EndpointSnapshot Snapshot() const;
  std::string Outage() const;

  std::vector<Deployment> deployments_;
  Resolver resolver_;
  Seconds next_look_ = 0;
};

}  // namespace headrace::discovery
