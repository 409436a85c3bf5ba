#include "discovery/endpoint_source.h"

#include <utility>

namespace headrace::discovery {

bool SameAccess(const std::shared_ptr<const EndpointAccess>& one,
                const std::shared_ptr<const EndpointAccess>& other) {
  return one == other || (one != nullptr && other != nullptr && one->Equals(*other));
}

bool DiscoveredEndpoint::operator==(const DiscoveredEndpoint& other) const {
  return address == other.address && resolved == other.resolved && fault == other.fault &&
         instance == other.instance && closed == other.closed &&
         max_in_flight == other.max_in_flight && weight == other.weight &&
         SameAccess(access, other.access);
}

bool EndpointSource::Publish(EndpointSnapshot snapshot, std::string outage) {
  const bool changed = snapshot != *snapshot_;
  if (changed) snapshot_ = std::make_shared<const EndpointSnapshot>(std::move(snapshot));
  if (!changed && outage == outage_) return false;
  outage_ = std::move(outage);
  return true;
}

}  // namespace headrace::discovery
