// What a replica has to tell the others about one pool.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/units.h"
#include "fleet/journal.h"
#include "replica/batch.h"
#include "scheduler/precedence.h"

namespace headrace::replica {

// A turn of the queue (scheduler::Turns) where news take so long: enough to be heard before the
// next one. What takes longer than this is not waited for.
inline Seconds TurnLength(Seconds lag) {
  constexpr Seconds kTransit = 0.005;
  constexpr Seconds kLongest = 0.05;
  return std::min(lag + kTransit, kLongest);
}

// Makes batches of a scheduler's journal, and remembers what runs, for the whole state that follows
// once a second: whoever missed a batch, or has just begun, is up to date with that. Not
// thread-safe.
class Outbox {
 public:
  static constexpr Seconds kWholeEvery = 1;

  Outbox(Identity self, std::string pool) : self_(std::move(self)), pool_(std::move(pool)) {}

  void Add(const fleet::Journal& journal, scheduler::QueueState queue);
  // nullopt if there is nothing to tell and no whole state is due.
  std::optional<Batch> Next(Seconds now);
  // Somebody is new: the next batch has the whole state.
  void SayAll() { next_whole_ = -kNever; }
  // Nobody hears: what was to be told is dropped, and the next batch has the whole state.
  void Hush();
  // The last batch.
  Batch Leave();

 private:
  struct Running {
    Started started;  // Its age, and that of the first token, is the time at which it was.
    std::optional<Seconds> first_token;
    Tokens generated = 0;
  };

  Batch NewBatch();

  Identity self_;
  std::string pool_;
  std::uint64_t sequence_ = 0;
  std::unordered_map<std::uint64_t, Running> running_;  // By serial.
  std::vector<Event> pending_;                          // Ages are times, as in running_.
  scheduler::QueueState queue_;
  bool told_queue_ = true;
  Seconds next_whole_ = -kNever;
};

}  // namespace headrace::replica
