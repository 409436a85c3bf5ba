// Endpoints in order of something that changes all the time.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

namespace headrace::fleet {

using EndpointId = std::uint32_t;

// Endpoints ordered by a key, equal keys by how long ago each was last used. A balanced tree in
// which an endpoint is put to its new place on every change, as in HAProxy's least-connection
// balancer (src/lb_fwlc.c): O(log n), without an allocation. Not thread-safe.
class EndpointOrder {
 public:
  using Key = std::int64_t;
  using Entry = std::tuple<Key, std::uint64_t, EndpointId>;  // Key, last use, endpoint.

  EndpointOrder() = default;
  EndpointOrder(EndpointOrder&&) = default;  // The places inside the set move with it …
  EndpointOrder& operator=(EndpointOrder&&) = default;
  EndpointOrder(const EndpointOrder&) = delete;  // … but would still point into the original.
  EndpointOrder& operator=(const EndpointOrder&) = delete;

  bool empty() const { return order_.empty(); }
  // The smallest key, the least recently used of its equals. The order must not be empty.
  EndpointId First() const { return std::get<2>(*order_.begin()); }
  Key FirstKey() const { return std::get<0>(*order_.begin()); }
  // To compare the first ones of several orders.
  const Entry& FirstEntry() const { return *order_.begin(); }
  // From the largest key ≤ `bound` down (of equals, the most recently used first): the first
  // endpoint that `accepts`, of at most `most` that are asked.
  template <typename Accepts>
  std::optional<EndpointId> FindDownFrom(Key bound, int most, const Accepts& accepts) const {
    auto next = order_.upper_bound({bound, ~std::uint64_t{0}, ~EndpointId{0}});
    for (; most > 0 && next != order_.begin(); --most) {
      const EndpointId id = std::get<2>(*--next);
      if (accepts(id)) return id;
    }
    return std::nullopt;
  }

  // From the smallest key up (of equals, the least recently used first), for as long as `visit`
  // returns true.
  template <typename Visit>
  void ForEachUp(const Visit& visit) const {
    for (const Entry& entry : order_) {
      if (!visit(entry)) return;
    }
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
  using Place = std::set<Entry>::iterator;
  std::set<Entry> order_;
  std::vector<std::optional<Place>> places_;  // By id.
};

}  // namespace headrace::fleet
