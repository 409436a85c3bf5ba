// Endpoints in order of something that changes all the time.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

namespace headrace::fleet {

using EndpointId = std::uint32_t;

// Endpoints ordered by a key, equal keys by how long ago each was last used. Changing one costs
// O(log n) and allocates nothing; the ends and neighbours of a key are O(1) and O(log n).
// Not thread-safe.
class EndpointOrder {
 public:
  using Key = std::int64_t;

  EndpointOrder() = default;
  EndpointOrder(EndpointOrder&&) = default;  // The places inside the set move with it …
  EndpointOrder& operator=(EndpointOrder&&) = default;
  EndpointOrder(const EndpointOrder&) = delete;  // … but would still point into the original.
  EndpointOrder& operator=(const EndpointOrder&) = delete;

  bool empty() const { return order_.empty(); }
  // The smallest key, the least recently used of its equals. The order must not be empty.
  EndpointId First() const { return std::get<2>(*order_.begin()); }
  Key FirstKey() const { return std::get<0>(*order_.begin()); }
  // The largest key ≤ `bound`, the most recently used of its equals.
  std::optional<EndpointId> LastAtMost(Key bound) const {
    auto next = order_.upper_bound({bound, ~std::uint64_t{0}, ~EndpointId{0}});
    if (next == order_.begin()) return std::nullopt;
    return std::get<2>(*std::prev(next));
  }

  void Set(EndpointId id, Key key, std::uint64_t last_used) {
    if (id >= places_.size()) places_.resize(id + 1);
    std::optional<Place>& place = places_[id];
    const Entry entry{key, last_used, id};
    if (!place) {
      place = order_.insert(entry).first;
      return;
    }
    if (**place == entry) return;
    auto node = order_.extract(*place);
    node.value() = entry;
    place = order_.insert(std::move(node)).position;
  }

  void Erase(EndpointId id) {
    if (id >= places_.size() || !places_[id]) return;
    order_.erase(*places_[id]);
    places_[id].reset();
  }

 private:
  using Entry = std::tuple<Key, std::uint64_t, EndpointId>;
  using Place = std::set<Entry>::iterator;
  std::set<Entry> order_;
  std::vector<std::optional<Place>> places_;  // By id.
};

}  // namespace headrace::fleet
