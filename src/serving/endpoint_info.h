// An endpoint as requests see it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "discovery/endpoint_source.h"
#include "fleet/fleet.h"
#include "system/address.h"
#include "telemetry/headrace_metrics.h"

namespace headrace::serving {

// Immutable. One that changes, or leaves the fleet and comes back, is another object.
struct EndpointInfo {
  fleet::EndpointId id = 0;
  std::string address;                          // As it is configured or listed.
  std::optional<system::SocketAddress> socket;  // nullopt: it cannot be reached, …
  std::string fault;                            // … because of this; then it is down.
  std::string instance;                         // What runs there (discovery).
  std::string deployment;
  std::shared_ptr<telemetry::DeploymentMetrics> metrics;  // Of the deployment; null: not measured.
  // Likewise: whether its engines take `stream_options`, as far as is known; null: they are not to
  // be asked.
  std::shared_ptr<std::atomic<bool>> stream_options;
  std::shared_ptr<const discovery::EndpointAccess> access;  // Null: plain HTTP, nothing added.
  // Whether this is its address, as it is written or as numbers.
  bool IsAt(std::string_view text) const {
    return text == address || (socket && text == socket->ToString());
  }
  bool operator==(const EndpointInfo& other) const {
    return id == other.id && address == other.address && socket == other.socket &&
           fault == other.fault && instance == other.instance && deployment == other.deployment &&
           metrics == other.metrics && stream_options == other.stream_options &&
           discovery::SameAccess(access, other.access);
  }
};
using EndpointList = std::vector<std::shared_ptr<const EndpointInfo>>;

}  // namespace headrace::serving
