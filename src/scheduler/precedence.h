// Which of the requests that wait at several replicas comes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/units.h"

namespace headrace::scheduler {

// The request that is next in a sub-queue: the first of one standing and one kind.
struct WaitingHead {
  int standing = 0;
  std::uint32_t kind = 0;  // WaitQueue::Key: its size and its promise. The same at all replicas.
  Seconds arrived = 0;

  bool operator==(const WaitingHead&) const = default;
};

// What other replicas are told of a queue.
struct QueueState {
  std::size_t in_time = 0;         // Requests that may still be in time.
  int endpoints = 0;               // That the replica would send to.
  std::vector<WaitingHead> heads;  // Of those in time that may go to any endpoint.

  bool operator==(const QueueState&) const = default;
};

// Keeps the order of one queue where each of several replicas has its own: of one kind, the higher
// standing goes first, then the older one, wherever it waits. A younger one would take the place
// that the older one waits for, at a replica where nobody is before it.
//
// As in one queue, one that cannot go holds up its kind until it can no longer be in time. Not
// thread-safe.
class Precedence {
 public:
  // Requests that came within so much time go in any order: each of two replicas would else wait
  // for news of the other after every request.
  static constexpr Seconds kSameAge = 0.2;

  // All heads of the others.
  void Set(std::span<const WaitingHead> heads);
  bool IsAfterAnother(const WaitingHead& own) const;

 private:
  std::vector<WaitingHead> firsts_;  // The oldest one of each standing and kind.
};

}  // namespace headrace::scheduler
