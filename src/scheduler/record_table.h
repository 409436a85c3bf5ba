// What the scheduler remembers of the requests that wait or run.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/units.h"
#include "fleet/fleet.h"
#include "predict/length_predictor.h"
#include "routing/policy.h"
#include "scheduler/assessment.h"
#include "scheduler/events.h"
#include "scheduler/precedence.h"
#include "scheduler/wait_queue.h"
#include "slo/slo.h"

namespace headrace::scheduler {

struct Record {
  enum class State : std::uint8_t { kFree, kWaiting, kRunning };

  RequestId id = 0;
  std::uint64_t tag = 0;
  State state = State::kFree;
  Seconds arrived = 0;
  Seconds waits_since = 0;  // Its arrival, or when it came back from an endpoint that failed it.
  Tokens prompt_tokens = 0;
  Tokens context = 0;
  predict::LengthEstimate length;
  // Null if the length is known to be exact.
  std::shared_ptr<const predict::LengthDistribution> lengths;
  Tokens least_tokens = 1;               // The shortest that the response may be, …
  Tokens most_tokens = fleet::kNoLimit;  // … and the longest.
  bool reports_first_token = false;
  bool late = false;  // It can no longer meet its SLO, and waits for an endpoint that has time.
  Detail detail = Detail::kNone;
  Hold hold = Hold::kNone;
  double held_cost = 0;
  std::optional<slo::Slo> slo;
  std::size_t bytes = 0;
  const routing::PolicyInfo* policy = nullptr;
  TenantId tenant = kNoTenant;
  bool yields = false;    // Its priority is below 0, or its tenant above its share.
  WaitQueue::Lane lane;   // Its sub-queue, for as long as it lives: inside one, order is kept.
  Assessment assessment;  // While it waits.
  std::vector<fleet::EndpointId> failed_at;  // Endpoints that it came back from.
  std::optional<fleet::EndpointId> only;     // Arrival::only, …
  std::shared_ptr<const std::vector<fleet::EndpointHandle>> among;  // … ::among, …
  std::size_t fallbacks = 0;                                        // … ::fallbacks.
  // While it runs:
  fleet::EndpointId endpoint = 0;
  Seconds started = 0;
  Seconds charged = 0;     // GPU time that its tenant was charged for it.
  bool prefilled = false;  // Its first token has come.
  bool moved = false;      // Scheduler::Move: nobody knows when it was sent there.
  fleet::Residence resident{};

  bool IsLimited() const { return only.has_value() || among != nullptr; }
  // The keys of its sub-queue (WaitQueue) if it is limited, and when it is late.
  WaitQueue::Key LimitedKey(bool is_late = false) const {
    std::uint64_t limit = only ? *only + 1 : 0;
    if (among != nullptr) {
      for (const fleet::EndpointHandle& handle : *among) limit = limit * 31 + handle.id + 1;
    }
    return WaitQueue::LimitedTo(limit, is_late);
  }
  WaitQueue::Key LateKey() const { return IsLimited() ? LimitedKey(true) : WaitQueue::kLate; }
  WaitingHead AsHead() const {
    return {.standing = lane.standing, .kind = lane.key, .arrived = arrived};
  }
  // Whether it has its place among those that wait at other replicas: it is in time, and may go to
  // any endpoint.
  bool IsComparable() const { return !late && !IsLimited() && failed_at.empty(); }
  bool NeedsFallback() const { return assessment.cause != FallbackCause::kNone; }
  bool ByForecast() const { return policy->needs == routing::PolicyNeeds::kForecast; }
  // Whether it waits on when its deadline has passed, instead of being refused.
  bool MayBeLate() const { return ByForecast() && !assessment.deployments.empty(); }
};

// Records in slots that are used again; a slot's next request gets another id, so that an event for
// one that is gone finds nothing. References stay valid until the next New. Not thread-safe.
class RecordTable {
 public:
  static Slot SlotOf(RequestId id) { return static_cast<Slot>(id); }

  Record& operator[](Slot slot) { return records_[slot]; }
  const Record& operator[](Slot slot) const { return records_[slot]; }
  // Slots that were ever used.
  std::size_t size() const { return records_.size(); }

  // Null if the request is gone or in another state.
  Record* Find(RequestId id, Record::State state) {
    const Slot slot = SlotOf(id);
    if (slot >= records_.size()) return nullptr;
    Record& record = records_[slot];
    return record.id == id && record.state == state ? &record : nullptr;
  }

  const Record* Find(RequestId id, Record::State state) const {
    return const_cast<RecordTable*>(this)->Find(id, state);
  }

  // Calls `visit(record)` for each request that runs at the endpoint.
  template <typename Visit>
  void ForEachRunningAt(fleet::EndpointId endpoint, const Visit& visit) const {
    for (const Record& record : records_) {
      if (record.state == Record::State::kRunning && record.endpoint == endpoint) visit(record);
    }
  }

  Record& New() {
    if (free_.empty()) {
      free_.push_back(static_cast<Slot>(records_.size()));
      // Records are large: by an eighth, instead of to twice the size.
      if (records_.size() == records_.capacity()) {
        records_.reserve(records_.size() + records_.size() / 8 + 16);
      }
      records_.emplace_back();
      records_.back().id = free_.back();
    }
    Record& record = records_[free_.back()];
    free_.pop_back();
    if (!spare_.empty()) {
      record.assessment = std::move(spare_.back());
      spare_.pop_back();
    }
    record.id += RequestId{1} << 32;  // The upper half counts the slot's requests.
    return record;
  }

  // A request that runs needs no assessment: the next one to wait gets its memory.
  void ReleaseAssessment(Record& record) {
    if (record.assessment.epoch == 0) return;
    spare_.push_back(std::exchange(record.assessment, {}));
  }

  void Free(Record& record) {
    ReleaseAssessment(record);
    record.state = Record::State::kFree;
    record.lengths.reset();
    record.failed_at.clear();
    record.among.reset();
    free_.push_back(SlotOf(record.id));
  }

 private:
  std::vector<Record> records_;
  std::vector<Slot> free_;
  std::vector<Assessment> spare_;
};

}  // namespace headrace::scheduler
