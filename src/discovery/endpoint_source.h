// Which endpoints the deployments of a pool have while the gateway runs.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "system/address.h"

namespace headrace::discovery {

// How an endpoint is reached, beyond its address: TLS, keys, paths. Known to the shell that
// connects and to the place that made it for that shell, and opaque to all between them.
class EndpointAccess {
 public:
  virtual ~EndpointAccess() = default;
  virtual bool Equals(const EndpointAccess& other) const = 0;
};

// Both null, or equal.
bool SameAccess(const std::shared_ptr<const EndpointAccess>& one,
                const std::shared_ptr<const EndpointAccess>& other);

struct DiscoveredEndpoint {
  // As it is named in the configuration, or as the place lists it: what logs, metrics and /status
  // show. `host:port`, or a URL.
  std::string address;
  std::optional<system::SocketAddress> resolved;  // nullopt: it cannot be reached, …
  std::string fault = {};                         // … because of this, a sentence.
  // What runs there, such as a pod's UID: another one at the same address is another endpoint.
  std::string instance = {};
  // Why it gets no new requests, a phrase; what runs there goes on. Empty: it gets them.
  std::string closed = {};
  int max_in_flight = 0;                              // Requests there; 0: as the deployment says.
  double weight = 1;                                  // Its speed, relative to the others'.
  std::shared_ptr<const EndpointAccess> access = {};  // Null: plain HTTP, nothing added.
  bool operator==(const DiscoveredEndpoint& other) const;
};

struct DiscoveredDeployment {
  std::string name;
  int max_in_flight = 0;  // Requests at one endpoint.
  std::vector<DiscoveredEndpoint> endpoints = {};
  // Most tokens of prompt and response together; 0: what the endpoints say.
  Tokens max_model_len = 0;
  Tokens kv_tokens = 0;        // That an endpoint's KV cache holds; 0: what the endpoints say.
  bool stream_options = true;  // Streams may be asked for their usage.
  bool operator==(const DiscoveredDeployment&) const = default;
};

// All deployments of one pool at one time.
using EndpointSnapshot = std::vector<DiscoveredDeployment>;

// A place that knows the endpoints of a pool: the configuration, DNS, Kubernetes. Not thread-safe.
//
// - A snapshot is whole: it replaces the one before, and the consumer computes the difference. It
//   never changes after it was handed out.
// - Names identify: a deployment is the same as before if its name is, an endpoint if its
//   deployment, its address and its instance are. No name and no address is in a snapshot twice.
// - What stays keeps its order relative to the rest that stays, so that a place that lists the same
//   endpoints in another order changes nothing.
// - An endpoint that is missing from a new snapshot gets no further requests; those in flight go on
//   to their end. A deployment may have no endpoints.
// - A look that fails removes nothing: the last good snapshot stays, and `outage()` says why it may
//   be old. An endpoint is missing only when the place says that it is gone.
class EndpointSource {
 public:
  virtual ~EndpointSource() = default;

  // Looks again if it is due; true if the snapshot or the outage has changed. `now` is the time on
  // any monotonic clock. May wait for the place to respond, with a bound.
  virtual bool Refresh(Seconds now) = 0;
  // Never null; without endpoints before the first Refresh.
  const std::shared_ptr<const EndpointSnapshot>& snapshot() const { return snapshot_; }
  // Why the snapshot may be incomplete or old, one sentence; empty if the last look succeeded.
  const std::string& outage() const { return outage_; }

 protected:
  // True if either differs from what was in force.
  bool Publish(EndpointSnapshot snapshot, std::string outage);

 private:
  std::shared_ptr<const EndpointSnapshot> snapshot_ = std::make_shared<const EndpointSnapshot>();
  std::string outage_;
};

}  // namespace headrace::discovery
