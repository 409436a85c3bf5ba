#include "scheduler/backlog.h"

#include <algorithm>

namespace headrace::scheduler {
namespace {

// A start at the deadline itself is still in time; a microsecond later it is not.
constexpr Seconds kPastDeadline = 1e-6;

// What an endpoint is predicted to do changes with time, without an event.
constexpr Seconds kRetry = 0.1;

}  // namespace

void Backlog::PushBack(const Record& record) {
  Count(record, 1);
  queue_.PushBack(RecordTable::SlotOf(record.id), record.lane, DeadlineOf(record));
}

void Backlog::PushFront(const Record& record) {
  Count(record, 1);
  queue_.PushFront(RecordTable::SlotOf(record.id), record.lane, DeadlineOf(record));
}

void Backlog::Drain(Seconds now, Decisions& decisions) {
  TurnBudget budget;
  Sweep();
  Expire(now, budget, decisions);
  ServeHeads(now, budget, decisions);
  more_to_decide_ = budget.spent() && !queue_.empty();
  last_drain_ = now;
  news_ = kNever;
}

void Backlog::ExpireAndSweep(Seconds now, Decisions& decisions) {
  TurnBudget budget;
  Expire(now, budget, decisions);
  Sweep();
}

bool Backlog::HasRoomFor(std::size_t bytes) const {
  return queue_.size() < options_.max_queue_length && bytes_ + bytes <= options_.max_queue_bytes;
}

bool Backlog::MakeRoomFor(const Record& record, Seconds now, Decisions& decisions) {
  for (TurnBudget budget; !HasRoomFor(record.bytes); budget.Spend()) {
    if (budget.spent() || queue_.empty()) return false;
    const Slot slot = queue_.last_slot();
    Record& last = records_[slot];
    if (last.lane.standing >= record.lane.standing) return false;
    Dequeue(slot);
    dispatcher_.Refuse(last, RefusalReason::kQueueFull, queue_.size(), now, decisions);
  }
  return true;
}

bool Backlog::MayPass(const Record& record) const {
  if (more_to_decide_) return false;
  if (!queue_.HasWaiting(record.lane) && !GivesWay(record)) return true;
  return record.ByForecast() &&
         static_cast<double>(in_time()) >=
             fleet_.constants().pass_from * std::max(1, fleet_.all_in_flight());
}

QueueState Backlog::State() const {
  QueueState state{.in_time = own_in_time(), .endpoints = fleet_.up() - fleet_.out()};
  for (const WaitQueue::Head& head : queue_.heads()) {
    const Record& record = records_[head.slot];
    if (record.IsComparable()) state.heads.push_back(record.AsHead());
  }
  return state;
}

Seconds Backlog::NextWakeup() const {
  if (queue_.empty()) return kNever;
  if (more_to_decide_ || assessments_.sweeping()) return 0;
  Seconds retry = forecast_ > 0 ? last_drain_ + kRetry : kNever;
  if (turns_.count > 1) {
    // Not twice in a round.
    if (forecast_ > 0) retry = turns_.Next(last_drain_ + kRetry / 2);
    if (news_ != kNever) retry = std::min(retry, turns_.Next(news_));
  }
  return std::min(queue_.next_deadline() + kPastDeadline, retry);
}

void Backlog::NoticeUp(Seconds now) {
  const bool up = fleet_.up() > 0;
  if (up == up_) return;
  up_ = up;
  turned_ = now;
}

Seconds Backlog::TimeoutOf(const Record& record) const {
  const bool down = record.assessment.deployments.empty();
  return std::max(record.waits_since, turned_) +
         (down ? options_.down_timeout : options_.queue_timeout);
}

Seconds Backlog::DeadlineOf(const Record& record) const {
  const bool down = record.assessment.deployments.empty();
  if (down && (options_.down_timeout <= 0 || record.assessment.nowhere)) return -kNever;
  const Seconds timeout = TimeoutOf(record);
  return record.late || down ? timeout : std::min(record.assessment.slo_deadline, timeout);
}

void Backlog::Count(const Record& record, int change) {
  bytes_ += static_cast<std::size_t>(change) * record.bytes;
  late_ += static_cast<std::size_t>(record.late ? change : 0);
  forecast_ += static_cast<std::size_t>(record.ByForecast() ? change : 0);
  among_ += static_cast<std::size_t>(record.among != nullptr ? change : 0);
}

std::size_t Backlog::Dequeue(Slot slot) {
  Count(records_[slot], -1);
  return queue_.Remove(slot);
}

std::size_t Backlog::Reassess(Record& record) {
  assessments_.Refresh(record);
  return queue_.SetDeadline(RecordTable::SlotOf(record.id), DeadlineOf(record));
}

void Backlog::Sweep() {
  if (queue_.empty()) assessments_.EndSweep();
  assessments_.Sweep(records_,
                     [&](Slot slot) { queue_.SetDeadline(slot, DeadlineOf(records_[slot])); });
}

void Backlog::Expire(Seconds now, TurnBudget& budget, Decisions& decisions) {
  for (; queue_.next_deadline() < now && !budget.spent(); budget.Spend()) {
    const Slot slot = queue_.next_deadline_slot();
    Record& record = records_[slot];
    if (!assessments_.IsCurrent(record)) {
      Reassess(record);
      continue;
    }
    Dequeue(slot);
    Settle(record, now, decisions);
  }
}

void Backlog::Settle(Record& record, Seconds now, Decisions& decisions) {
  if (record.MayBeLate() && !record.late && now < TimeoutOf(record)) {
    record.late = true;
    if (record.hold != Hold::kGaveUp) record.hold = Hold::kLate;
    record.lane.key = WaitQueue::TooLongFor(record.assessment.too_long_for, record.LateKey());
    PushBack(record);
    return;
  }
  dispatcher_.Settle(record, WaitingBefore(record), now, decisions);
}

void Backlog::ServeHeads(Seconds now, TurnBudget& budget, Decisions& decisions) {
  // The places of heads shift as requests leave and are assessed anew; going on from the first
  // place that changed tries every head at least once.
  for (std::size_t i = 0; i < queue_.heads().size() && fleet_.available() > 0 && !budget.spent();) {
    const Slot slot = queue_.heads()[i].slot;
    Record& record = records_[slot];
    if (!assessments_.IsCurrent(record)) {
      i = std::min(i, Reassess(record));
      budget.Spend();
      continue;
    }
    if (GivesWay(record) && now <= DeadlineOf(record)) {
      ++i;
      continue;
    }
    if (before_try_) before_try_(record, now);
    if (now <= DeadlineOf(record)) {
      if (dispatcher_.TryDispatch(record, in_time(), now, decisions)) {
        i = std::min(i, Dequeue(slot));
        budget.Spend();
        continue;
      }
      if (!dispatcher_.GivesUp(record)) {
        ++i;
        continue;
      }
      record.hold = Hold::kGaveUp;
    }
    i = std::min(i, Dequeue(slot));
    Settle(record, now, decisions);
    budget.Spend();
  }
}

}  // namespace headrace::scheduler
