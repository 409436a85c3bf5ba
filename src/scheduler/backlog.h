// The requests that wait, and how they leave: served, expired, or refused together.
#pragma once

#include <cstddef>
#include <functional>

#include "base/units.h"
#include "fleet/fleet.h"
#include "scheduler/assessment_cache.h"
#include "scheduler/dispatcher.h"
#include "scheduler/events.h"
#include "scheduler/record_table.h"
#include "scheduler/wait_queue.h"

namespace headrace::scheduler {

// What one event may still decide: this many requests are sent, refused or assessed anew at most,
// so that no event holds up the next one for long (well under 1 ms). What is left goes on at once,
// with the next Tick.
struct TurnBudget {
  int left = 128;

  bool spent() const { return left == 0; }
  void Spend() { --left; }
};

// Not thread-safe.
class Backlog {
 public:
  // What is passed in must outlive it.
  Backlog(const SchedulerOptions& options, const fleet::Fleet& fleet, RecordTable& records,
          AssessmentCache& assessments, Dispatcher& dispatcher)
      : options_(options),
        fleet_(fleet),
        records_(records),
        assessments_(assessments),
        dispatcher_(dispatcher) {}

  // A request waits from now on, behind those of its sub-queue, or (one that comes back) before
  // them.
  void PushBack(const Record& record);
  void PushFront(const Record& record);
  void Remove(const Record& record) { Dequeue(RecordTable::SlotOf(record.id)); }

  // Refuses what is past its deadline, then tries the heads of the sub-queues, most urgent first.
  void Drain(Seconds now, Decisions& decisions);
  // Only the first half: what an arrival does before it takes its own turn.
  void Expire(Seconds now, Decisions& decisions) {
    if (queue_.next_deadline() < now || assessments_.sweeping()) ExpireAndSweep(now, decisions);
  }

  // Whether a new request of this sub-queue may be tried at once: nothing waits before it, and the
  // heads that wait have all been tried.
  bool MayPass(WaitQueue::Key key) const { return !more_to_decide_ && !queue_.HasWaiting(key); }
  bool HasRoomFor(std::size_t bytes) const;
  // When Drain is next due if no event comes before.
  Seconds NextWakeup() const;

  const WaitQueue& queue() const { return queue_; }
  std::size_t bytes() const { return bytes_; }

  // Called with each head before it is tried; for experiments.
  void SetBeforeTry(std::function<void(Record&, Seconds now)> before_try) {
    before_try_ = std::move(before_try);
  }

 private:
  Seconds DeadlineOf(const Record& record) const;
  // Returns the place in the queue's heads from which on they have changed.
  std::size_t Dequeue(Slot slot);
  std::size_t Reassess(Record& record);
  void ExpireAndSweep(Seconds now, Decisions& decisions);
  void Sweep();
  void Expire(Seconds now, TurnBudget& budget, Decisions& decisions);
  void ServeHeads(Seconds now, TurnBudget& budget, Decisions& decisions);

  const SchedulerOptions& options_;
  const fleet::Fleet& fleet_;
  RecordTable& records_;
  AssessmentCache& assessments_;
  Dispatcher& dispatcher_;
  std::function<void(Record&, Seconds)> before_try_;
  WaitQueue queue_;
  std::size_t bytes_ = 0;
  bool more_to_decide_ = false;  // The last Drain spent its budget.
};

}  // namespace headrace::scheduler
