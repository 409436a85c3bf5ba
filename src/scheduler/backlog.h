// The requests that wait, and how they leave: served, expired, or refused together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>

#include "base/units.h"
#include "fleet/fleet.h"
#include "scheduler/assessment_cache.h"
#include "scheduler/dispatcher.h"
#include "scheduler/events.h"
#include "scheduler/precedence.h"
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

  // Others have done something. True if what waits is to be tried at the next turn, which
  // NextWakeup knows; false if at once.
  bool WaitsForTurn(Seconds now) {
    news_ = std::min(news_, now);
    return turns_.count > 1;
  }
  void SetTurns(const Turns& turns) { turns_ = turns; }

  // Whether a new request of this sub-queue may be tried at once: nothing waits before it, and the
  // heads that wait have all been tried.
  // Under pressure a newcomer is also tried if others of its kind wait: they have lost so much time
  // that they no longer fit where a fresh request does. (First come, first served collapses under
  // overload: every request is served just too late.)
  bool MayPass(const Record& record) const;
  bool HasRoomFor(std::size_t bytes) const;
  // Makes room for a request by refusing some that stand lower. False if there is not enough.
  bool MakeRoomFor(const Record& record, Seconds now, Decisions& decisions);
  // An epoch has begun: notices whether the pool's last endpoint has gone down, or its first come
  // up. Nobody has waited in vain before that.
  void NoticeUp(Seconds now);
  // After this the request is refused, or waits as a late one.
  Seconds DeadlineOf(const Record& record) const;
  // When Drain is next due if no event comes before.
  Seconds NextWakeup() const;

  const WaitQueue& queue() const { return queue_; }
  std::size_t bytes() const { return bytes_; }
  // Requests in the queue that may still be in time, and those in the queues of other replicas.
  std::size_t in_time() const { return own_in_time() + foreign_waiting_; }
  std::size_t own_in_time() const { return queue_.size() - late_; }
  QueueState State() const;
  // So many requests wait in the queues of other replicas, and these are their heads.
  void SetForeign(std::size_t waiting, std::span<const WaitingHead> heads) {
    foreign_waiting_ = waiting;
    precedence_.Set(heads);
  }
  // Some may go to certain endpoints only.
  bool AnyAmong() const { return among_ > 0; }
  // Of the queue, what does not stand lower than the request.
  std::size_t WaitingBefore(const Record& record) const {
    return queue_.size(record.lane.standing);
  }

  // Called with each head before it is tried; for experiments.
  void SetBeforeTry(std::function<void(Record&, Seconds now)> before_try) {
    before_try_ = std::move(before_try);
  }

 private:
  // A request enters (1) or leaves (−1) the queue.
  void Count(const Record& record, int change);
  // The end of its longest wait, whatever its SLO.
  Seconds TimeoutOf(const Record& record) const;
  // Returns the place in the queue's heads from which on they have changed.
  std::size_t Dequeue(Slot slot);
  std::size_t Reassess(Record& record);
  void ExpireAndSweep(Seconds now, Decisions& decisions);
  void Sweep();
  // A request whose deadline has passed, or that gives up, waits on as a late one or is refused.
  void Settle(Record& record, Seconds now, Decisions& decisions);
  void Expire(Seconds now, TurnBudget& budget, Decisions& decisions);
  // Whether it has to let one go first that waits at another replica.
  bool GivesWay(const Record& record) const {
    return record.IsComparable() && precedence_.IsAfterAnother(record.AsHead());
  }
  void ServeHeads(Seconds now, TurnBudget& budget, Decisions& decisions);

  const SchedulerOptions& options_;
  const fleet::Fleet& fleet_;
  RecordTable& records_;
  AssessmentCache& assessments_;
  Dispatcher& dispatcher_;
  std::function<void(Record&, Seconds)> before_try_;
  WaitQueue queue_;
  std::size_t bytes_ = 0;
  std::size_t late_ = 0;  // Requests in the queue that can no longer be in time.
  std::size_t foreign_waiting_ = 0;
  Precedence precedence_;
  Turns turns_;
  Seconds news_ = kNever;     // When others did something, for the first time since last_drain_.
  std::size_t forecast_ = 0;  // Requests in the queue that wait for a forecast to change.
  std::size_t among_ = 0;     // Requests in the queue with Arrival::among.
  Seconds last_drain_ = 0;
  bool up_ = false;              // An endpoint is up, …
  Seconds turned_ = 0;           // … or none, since then.
  bool more_to_decide_ = false;  // The last Drain spent its budget.
};

}  // namespace headrace::scheduler
