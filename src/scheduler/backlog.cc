#include "scheduler/backlog.h"

#include <algorithm>

namespace headrace::scheduler {
namespace {

// A start at the deadline itself is still in time; a microsecond later it is not.
constexpr Seconds kPastDeadline = 1e-6;

}  // namespace

void Backlog::PushBack(const Record& record) {
  bytes_ += record.bytes;
  queue_.PushBack(RecordTable::SlotOf(record.id), record.key, DeadlineOf(record));
}

void Backlog::PushFront(const Record& record) {
  bytes_ += record.bytes;
  queue_.PushFront(RecordTable::SlotOf(record.id), record.key, DeadlineOf(record));
}

void Backlog::Drain(Seconds now, Decisions& decisions) {
  TurnBudget budget;
  Sweep();
  Expire(now, budget, decisions);
  ServeHeads(now, budget, decisions);
  more_to_decide_ = budget.spent() && !queue_.empty();
}

void Backlog::ExpireAndSweep(Seconds now, Decisions& decisions) {
  TurnBudget budget;
  Expire(now, budget, decisions);
  Sweep();
}

bool Backlog::HasRoomFor(std::size_t bytes) const {
  return queue_.size() < options_.max_queue_length && bytes_ + bytes <= options_.max_queue_bytes;
}

Seconds Backlog::NextWakeup() const {
  if (queue_.empty()) return kNever;
  if (more_to_decide_ || assessments_.sweeping()) return 0;
  return queue_.next_deadline() + kPastDeadline;
}

Seconds Backlog::DeadlineOf(const Record& record) const {
  return std::min(record.assessment.slo_deadline, record.arrived + options_.queue_timeout);
}

std::size_t Backlog::Dequeue(Slot slot) {
  bytes_ -= records_[slot].bytes;
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
    dispatcher_.Settle(record, queue_.size(), now, decisions);
  }
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
    if (before_try_) before_try_(record, now);
    if (now > DeadlineOf(record)) {
      i = std::min(i, Dequeue(slot));
      dispatcher_.Settle(record, queue_.size(), now, decisions);
      budget.Spend();
    } else if (dispatcher_.TryDispatch(record, now, decisions)) {
      i = std::min(i, Dequeue(slot));
      budget.Spend();
    } else {
      ++i;
    }
  }
}

}  // namespace headrace::scheduler
