// A binary heap whose entries can be moved and removed by name.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace {

// A min-heap of small dense ids, each with a key: insert, change, remove in O(log n), smallest in
// O(1). Equal keys come out in no promised order; give a key a tie-break where order matters.
// `Key` is cheap to copy and has operator<. Not thread-safe.
template <typename Key>
class IndexedHeap {
 public:
  using Id = std::uint32_t;

  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  bool Contains(Id id) const { return id < place_.size() && place_[id] != kAbsent; }
  Id top() const { return heap_.front().id; }
  const Key& top_key() const { return heap_.front().key; }

  // Inserts `id`, or gives it a new key.
  void Set(Id id, Key key) {
    if (id >= place_.size()) place_.resize(id + 1, kAbsent);
    std::uint32_t at = place_[id];
    if (at == kAbsent) {
      at = static_cast<std::uint32_t>(heap_.size());
      heap_.push_back({key, id});
    } else {
      heap_[at].key = key;
    }
    Restore(at);
  }

  // Removes `id`; nothing happens when it is not there.
  void Erase(Id id) {
    if (!Contains(id)) return;
    const std::uint32_t at = place_[id];
    place_[id] = kAbsent;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (last.id == id) return;
    heap_[at] = last;
    Restore(at);
  }

 private:
  static constexpr std::uint32_t kAbsent = ~std::uint32_t{0};
  struct Entry {
    Key key;
    Id id;
  };

  // Moves the entry at `at` to where its key belongs and records every place on the way.
  void Restore(std::uint32_t at) {
    const Entry entry = heap_[at];
    while (at > 0) {
      const std::uint32_t parent = (at - 1) / 2;
      if (!(entry.key < heap_[parent].key)) break;
      Put(heap_[parent], at);
      at = parent;
    }
    for (;;) {
      std::uint32_t child = 2 * at + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && heap_[child + 1].key < heap_[child].key) ++child;
      if (!(heap_[child].key < entry.key)) break;
      Put(heap_[child], at);
      at = child;
    }
    Put(entry, at);
  }

  void Put(const Entry& entry, std::uint32_t at) {
    heap_[at] = entry;
    place_[entry.id] = at;
  }

  std::vector<Entry> heap_;
  std::vector<std::uint32_t> place_;  // By id.
};

}  // namespace headrace
