#include "discovery/endpoint_source.h"

#include <utility>

namespace headrace::discovery {

bool EndpointSource::Publish(EndpointSnapshot snapshot, std::string outage) {
  const bool changed = snapshot != *snapshot_;
  if (changed) snapshot_ = std::make_shared<const EndpointSnapshot>(std::move(snapshot));
  if (!changed && outage == outage_) return false;
  outage_ = std::move(outage);
  return true;
}

}  // namespace headrace::discovery
