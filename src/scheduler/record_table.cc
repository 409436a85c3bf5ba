#include "scheduler/record_table.h"

namespace headrace::scheduler {

Record* RecordTable::Find(RequestId id, Record::State state) {
  const Slot slot = SlotOf(id);
  if (slot >= records_.size()) return nullptr;
  Record& record = records_[slot];
  return record.id == id && record.state == state ? &record : nullptr;
}

Record& RecordTable::New() {
  if (free_.empty()) {
    free_.push_back(static_cast<Slot>(records_.size()));
    records_.emplace_back();
    records_.back().id = free_.back();
  }
  Record& record = records_[free_.back()];
  free_.pop_back();
  record.id += RequestId{1} << 32;  // The upper half counts the slot's requests.
  return record;
}

void RecordTable::Free(Record& record) {
  record.state = Record::State::kFree;
  free_.push_back(SlotOf(record.id));
}

}  // namespace headrace::scheduler
