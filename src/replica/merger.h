// What a replica knows of the others' requests in one pool.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/units.h"
#include "replica/batch.h"
#include "scheduler/scheduler.h"

namespace headrace::replica {

// Puts what other replicas tell into this replica's scheduler: their requests run there as foreign
// ones, and teach when they end. Every replica that hears everything comes to the load, the lengths
// and the step times that a single one would have.
//
// Batches may be lost, doubled or come late: what is old is ignored, and what was missed is put
// right by the next whole state. Turns go round from the time at which the whole state of the first
// replica was heard last: all hear it at nearly the same moment, so that no clocks need to agree. A
// replica that is silent for kSilence, leaves, or is followed by
// another incarnation has nothing running any more. Not thread-safe.
class Merger {
 public:
  // Three whole states.
  static constexpr Seconds kSilence = 3;
  // So that one turn is short: it ends at a lock's end. Events.
  static constexpr std::size_t kMostPerTurn = 256;

  explicit Merger(Identity self) : self_(std::move(self)) {}

  // One turn of a batch, from event `at` on, which it moves; true once it is done: then the
  // scheduler has decided what follows from all of it.
  bool Apply(const Batch& batch, std::size_t& at, scheduler::Scheduler& scheduler, Seconds now,
             scheduler::Decisions& decisions);
  // One turn of dropping who was silent for too long; true once it is done.
  bool Age(scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions);
  // Whether Age has something to do.
  bool AnyGone(Seconds now) const;
  // Nobody can be heard: as if all had been silent. Age follows.
  void LoseAll();

  // Another replica, as far as it is known here.
  struct Peer {
    Identity identity;
    Seconds heard = 0;           // Last.
    std::uint64_t sequence = 0;  // The last one that was applied.
    bool lost = false;           // It is gone; its requests are being dropped.
    std::uint64_t waiting = 0;   // In its queue; …
    std::uint64_t endpoints = 0;
    std::vector<scheduler::WaitingHead> heads;  // … see scheduler::QueueState.

    struct Running {
      // nullopt: its endpoint is not known here, at least not yet.
      std::optional<scheduler::Scheduler::ForeignRequest> request;
      std::uint64_t told = 0;  // The last whole state that it was in.
    };
    std::unordered_map<std::uint64_t, Running> running;  // By serial.
  };
  std::span<const Peer> peers() const { return peers_; }
  // Replicas that send to the pool, this one included.
  int replicas() const;
  // How long a turn of the queue is (scheduler::Turns), from the next batch on.
  void SetTurnLength(Seconds length) { turn_length_ = length; }
  // Batches that never came, or too late.
  std::uint64_t missed() const { return missed_; }
  // Whether a replica has appeared since this was last asked: it needs the whole state.
  bool TakeNewcomer() { return std::exchange(newcomer_, false); }

 private:
  Peer& PeerOf(const Identity& identity);
  // The place of a replica among those that are there, the same for all that hear each other.
  int RankOf(const Identity& identity) const;
  // Tells the scheduler about the others' queues and its own turns, and has it decide.
  void Conclude(scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions);
  void ApplyEvent(Peer& peer, const Event& event, std::uint64_t whole,
                  scheduler::Scheduler& scheduler, Seconds now);
  void Start(Peer& peer, const Started& started, std::uint64_t whole,
             scheduler::Scheduler& scheduler, Seconds now);
  static void Drop(const Peer::Running& running, scheduler::Scheduler& scheduler, Seconds now);

  Identity self_;
  std::vector<Peer> peers_;
  Seconds turn_length_ = 0;
  Seconds round_ = 0;  // Rounds of turns are counted from here.
  std::uint64_t missed_ = 0;
  bool newcomer_ = false;
};

}  // namespace headrace::replica
