// Which endpoint has which response (/v1/responses), for what refers to it by its id.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/units.h"
#include "serving/endpoint_info.h"
#include "system/mutex.h"

namespace headrace::serving {

// Thread-safe. The oldest are forgotten first.
class ResponseOwners {
 public:
  static constexpr std::size_t kMost = 50'000;
  static constexpr Seconds kKept = 24 * 3600;
  static constexpr std::size_t kMostIdBytes = 128;
  static constexpr std::size_t kMostModelBytes = 512;

  struct Owner {
    std::string pool;
    std::weak_ptr<const EndpointInfo> endpoint;  // Gone once it has left the fleet.
    std::string model;                           // As its request named it.
    std::string tenant;                          // Of its request's key; "": none was required.
  };

  void Note(std::string_view id, Owner owner, Seconds now);
  // Without a pool if nothing is known of the id.
  Owner Find(std::string_view id, Seconds now) const;

 private:
  struct Entry {
    std::string id;
    Owner owner;
    Seconds noted = 0;
  };

  mutable system::Mutex mutex_;
  std::deque<Entry> entries_ HEADRACE_GUARDED_BY(mutex_);  // In the order in which they came.
  // By id, a view of the entry's.
  std::unordered_map<std::string_view, const Entry*> by_id_ HEADRACE_GUARDED_BY(mutex_);
};

}  // namespace headrace::serving
