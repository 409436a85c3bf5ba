// Endpoints that the configuration names, by address or by a name that is looked up again and
// again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "discovery/endpoint_source.h"
#include "discovery/name_resolver.h"
#include "system/http_url.h"

namespace headrace::discovery {

struct NamedEndpoint {
  system::HttpUrl url;
  // One endpoint for every address of the host, such as a headless service of Kubernetes has; else
  // one, at the first of them.
  bool every_address = false;
  int max_in_flight = 0;  // Requests there; 0: as the deployment says.
  double weight = 1;      // Its speed, relative to the others'.
  std::shared_ptr<const EndpointAccess> access = {};
};

// The endpoints of one deployment, as they are written.
struct NamedDeployment {
  std::string name;
  int max_in_flight = 0;  // Requests at one endpoint.
  std::vector<NamedEndpoint> endpoints = {};
  // Most tokens of prompt and response together; 0: what the endpoints say.
  Tokens max_model_len = 0;
  Tokens kv_tokens = 0;        // That an endpoint's KV cache holds; 0: what the endpoints say.
  bool stream_options = true;  // Streams may be asked for their usage.
};

// An endpoint's name is its URL, whatever addresses the host has: it keeps its load and its history
// when these change. If every address counts, each is an endpoint of its own, named by its address.
// One that has another address than before keeps that for as long as the host has it.
//
// A host that was never resolved has one endpoint, without an address; one that was keeps its last
// good addresses. A name that the pool has already is left out.
class NamedEndpoints final : public EndpointSource {
 public:
  NamedEndpoints(std::vector<NamedDeployment> deployments, std::shared_ptr<NameResolver> resolver)
      : deployments_(std::move(deployments)), resolver_(std::move(resolver)) {}

  bool Refresh(Seconds now) override;

 private:
  std::vector<NamedDeployment> deployments_;
  std::shared_ptr<NameResolver> resolver_;
};

}  // namespace headrace::discovery
