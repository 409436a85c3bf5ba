// Requests that wait, in the order in which they are tried.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/indexed_heap.h"
#include "base/log2_bucket.h"
#include "base/units.h"

namespace headrace::scheduler {

// A slot of the scheduler's request table.
using Slot = std::uint32_t;

// FIFO sub-queues whose heads are ordered by urgency. One sub-queue per (round(log2 output),
// round(log2 input)) makes the SLO queue. Requests without an SLO share one more sub-queue; if that
// is the only one in use, this is a plain FIFO queue. Requests that fit on fewer deployments than
// others have sub-queues of their own, so that they do not hold up those that fit elsewhere.
//
// Sub-queues are in bands: requests of one standing (the higher the better) are in one band, and
// all its heads come before those of lower ones.
//
// A head's urgency, AIBrix's rank, is the lowest of its ranks over the deployments:
//   min over d of (now − latest_start(d)) = now − deadline, with deadline = max over d of
//   latest_start,
// so "highest rank first" is "earliest deadline first" and the order does not change with time.
//
// push/remove cost O(log n) for n requests waiting, plus O(sub-queues) when a head changes; the
// heads are handed out in order without sorting. Not thread-safe.
class WaitQueue {
 public:
  using Key = std::uint32_t;
  // A key of requests that fit everywhere; kUnranked for those without an SLO. Requests that wait
  // for what others leave must not hold up anybody: those of a forecast without an SLO have a
  // sub-queue of their own, and so have those that can no longer be in time.
  static constexpr Key kUnranked = kLog2Buckets * kLog2Buckets;
  static constexpr Key kBestEffort = kUnranked + 1;
  static constexpr Key kLate = kUnranked + 2;
  // Of requests that may go to some endpoints only: that those are full must not hold up those that
  // may go elsewhere, and rarely those that are limited to others. `limit`: a hash of the limit.
  static constexpr Key kLimits = 16;
  static constexpr Key LimitedTo(std::uint64_t limit, bool late = false) {
    return kUnranked + 3 + static_cast<Key>(limit % kLimits) * 2 + (late ? 1 : 0);
  }
  static constexpr Key kKeys = kUnranked + 3 + 2 * kLimits;
  static Key KeyOf(Tokens prompt_tokens, Tokens output_tokens) {
    return static_cast<Key>(Log2Bucket(output_tokens) * kLog2Buckets + Log2Bucket(prompt_tokens));
  }
  // The same for requests that are too long for so many deployments: contexts are nested, so the
  // number says which. And back.
  static Key TooLongFor(int deployments, Key key) {
    return static_cast<Key>(deployments) * kKeys + key;
  }
  static Key SizeOf(Key key) { return key % kKeys; }

  // Names a sub-queue: its band and its key there.
  struct Lane {
    int standing = 0;
    Key key = 0;
  };

  struct Head {
    int standing;
    Seconds deadline;
    Key key;
    Slot slot;
  };

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  // Requests of at least this standing.
  std::size_t size(int standing) const;
  bool HasWaiting(Lane lane) const;
  bool Contains(Slot slot) const { return slot < links_.size() && links_[slot].queued; }

  // Every sub-queue's head, highest standing first, then earliest deadline, equal ones by key.
  // Valid until the next change.
  std::span<const Head> heads() const { return heads_; }
  // The request whose deadline comes first, head or not. The queue must not be empty.
  Slot next_deadline_slot() const { return deadlines_.top(); }
  Seconds next_deadline() const { return deadlines_.empty() ? kNever : deadlines_.top_key(); }

  // The one that has waited the shortest where heads are least urgent, in the lowest band. The
  // queue must not be empty.
  Slot last_slot() const;

  void PushBack(Slot slot, Lane lane, Seconds deadline) { Insert(slot, lane, deadline, false); }
  // For a request that comes back: before those that arrived after it.
  void PushFront(Slot slot, Lane lane, Seconds deadline) { Insert(slot, lane, deadline, true); }
  // Takes a request out. Returns the place in heads() of its sub-queue's new head, or
  // heads().size() if the sub-queue is empty or its head has not changed.
  std::size_t Remove(Slot slot);
  // Gives a waiting request another deadline; its place inside its sub-queue stays. Returns its
  // place in heads(), or heads().size() if it is no head.
  std::size_t SetDeadline(Slot slot, Seconds deadline);

  struct SubQueue {
    Key key;
    std::size_t length;
  };
  // The sub-queues in use, by key. For status pages: O(sub-queues).
  std::vector<SubQueue> SubQueues() const;

 private:
  static constexpr Slot kNone = ~Slot{0};
  struct Link {
    Slot previous = kNone;
    Slot next = kNone;
    std::uint32_t band = 0;  // Its place in bands_.
    Key key = 0;
    Seconds deadline = 0;
    bool queued = false;
  };
  struct Queue {
    Slot first = kNone;
    Slot last = kNone;
    std::size_t length = 0;
  };
  struct Band {
    int standing = 0;
    std::vector<Queue> queues = std::vector<Queue>(kKeys);  // By key.
    std::size_t size = 0;
  };

  std::uint32_t FindOrAddBand(int standing);
  void Insert(Slot slot, Lane lane, Seconds deadline, bool front);
  Queue& QueueOf(const Link& link) { return bands_[link.band].queues[link.key]; }
  void Count(const Link& link, int change);
  Head HeadOf(const Link& link) const;
  void DropHead(const Link& link);
  std::size_t AddHead(const Link& link);

  std::vector<Band> bands_;  // In the order in which they were first used.
  std::vector<Link> links_;  // By slot.
  std::vector<Head> heads_;  // Sorted.
  IndexedHeap<Seconds> deadlines_;
  std::size_t size_ = 0;
};

}  // namespace headrace::scheduler
