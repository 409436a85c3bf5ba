// Keeps the assessments of waiting requests as new as the profiles and the fleet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/units.h"
#include "fleet/fleet.h"
#include "scheduler/record_table.h"
#include "slo/slo.h"

namespace headrace::scheduler {

// An assessment is made when a request arrives and holds for an epoch; a new profile, fleet or SLO
// begins the next one. Heads of the queue are then assessed anew when their turn comes, all others
// a slice per event, so that no event waits for the whole queue. Not thread-safe.
class AssessmentCache {
 public:
  // `fleet` and `pool_slo` must outlive it.
  AssessmentCache(const fleet::Fleet& fleet, const std::optional<slo::Slo>& pool_slo)
      : fleet_(fleet), pool_slo_(pool_slo) {}

  // `records`: the size of the table whose requests are now out of date.
  void BeginEpoch(std::size_t records);

  bool IsCurrent(const Record& record) const { return record.assessment.epoch == epoch_; }
  // Assesses a request anew.
  void Refresh(Record& record) const;

  // Records may still be out of date, besides heads.
  bool sweeping() const { return sweep_at_ < sweep_end_; }
  void EndSweep() { sweep_at_ = sweep_end_; }
  // Refreshes the next slice of the waiting records that are out of date, and calls
  // `refreshed(slot)` after each.
  template <typename Refreshed>
  void Sweep(RecordTable& records, const Refreshed& refreshed) {
    for (int done = 0; done < kSlice && sweeping(); ++sweep_at_) {
      Record& record = records[static_cast<Slot>(sweep_at_)];
      if (record.state != Record::State::kWaiting || IsCurrent(record)) continue;
      Refresh(record);
      refreshed(static_cast<Slot>(sweep_at_));
      ++done;
    }
  }

  SizedRequest Sized(const Record& record) const {
    return {.arrived = record.arrived,
            .prompt_tokens = record.prompt_tokens,
            .output_tokens = record.length.tokens,
            .least_tokens = record.least_tokens,
            .context = HeldToLongest(record.context),
            .lengths = record.lengths,
            .most_tokens = record.most_tokens,
            .own_slo = record.slo,
            .pool_slo = pool_slo_,
            .needs = record.policy->needs,
            .among = record.among.get()};
  }

  // A request that fits nowhere goes where the context is longest: the engine there knows its exact
  // length, and refuses it in its own words if it is too long.
  Tokens HeldToLongest(Tokens context) const { return std::min(context, fleet_.LongestContext()); }

  // A typical response by the profiles, to predict with at a cold start: the upper quartile of the
  // first usable profile's output buckets. A response that is predicted too short overloads a GPU,
  // one that is predicted too long only waits for one. 0 if there is no profile.
  Tokens typical_output() const { return typical_output_; }

 private:
  static constexpr int kSlice = 128;

  const fleet::Fleet& fleet_;
  const std::optional<slo::Slo>& pool_slo_;
  std::uint64_t epoch_ = 1;
  // Records from here to there may still be of an earlier epoch.
  std::size_t sweep_at_ = 0;
  std::size_t sweep_end_ = 0;
  Tokens typical_output_ = 0;
};

}  // namespace headrace::scheduler
