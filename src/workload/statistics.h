// What became of the requests: counts, attainment and latency percentiles per class and in all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/units.h"
#include "slo/slo.h"

namespace headrace::workload {

// Latencies are those of completed requests and count from the arrival, the gateway's queue
// included (profile/slo.h has the formulas). TPOT is of answers of at least two tokens.
struct ClassReport {
  std::uint64_t offered = 0;
  std::uint64_t completed = 0;
  std::uint64_t rejected = 0;
  std::uint64_t timed_out = 0;  // Did not finish in time: given up, or cut off by the end.
  std::uint64_t failed = 0;     // Broken off by the other side.
  std::uint64_t attained = 0;   // Met every latency promise.
  Histogram ttft;
  Histogram tpot;
  Histogram tpat;
  Histogram e2e;
  Histogram queue;  // From arrival to dispatch.

  // attained / offered: a request that was refused or did not finish is a miss. 0 when none came.
  double Attainment() const {
    return offered == 0 ? 0 : static_cast<double>(attained) / static_cast<double>(offered);
  }
  void Merge(const ClassReport& other);
};

// Counts every offered request exactly once more: as completed, rejected, timed out or
// failed. Flat memory.
// Not thread-safe.
class RunStatistics {
 public:
  // A class per name, in the order of the workload.
  explicit RunStatistics(const std::vector<std::string>& class_names);

  void Offer(std::size_t class_index) { ++classes_[class_index].report.offered; }
  // Without an SLO whatever completes attains. Returns whether the request attained.
  bool Complete(std::size_t class_index, const slo::RequestLatency& latency, Seconds queued,
                const std::optional<slo::Slo>& slo);
  void Reject(std::size_t class_index) { ++classes_[class_index].report.rejected; }
  void TimeOut(std::size_t class_index) { ++classes_[class_index].report.timed_out; }
  void Fail(std::size_t class_index) { ++classes_[class_index].report.failed; }
  // Adds what another run counted.
  void MergeClass(std::size_t class_index, const ClassReport& report) {
    classes_[class_index].report.Merge(report);
  }

  std::size_t size() const { return classes_.size(); }
  const std::string& name(std::size_t class_index) const { return classes_[class_index].name; }
  const ClassReport& of(std::size_t class_index) const { return classes_[class_index].report; }
  // Over all classes.
  ClassReport Total() const;

 private:
  struct NamedReport {
    std::string name;
    ClassReport report;
  };
  std::vector<NamedReport> classes_;
};

// The members of a JSON object, without its braces so that the caller can add its own:
//   "offered": 660, "completed": …, "rejected": …, "timed_out": …, "failed": …,
//   "attained": …, "attainment": 0.98, "goodput_rps": 10.8,
//   "ttft_s": {"p50": …, "p90": …, "p99": …}, and the same of tpot_s, tpat_s, e2e_s, queue_s
// goodput_rps = attained / duration. Latencies of nothing are null.
std::string FormatReportMembers(const ClassReport& report, Seconds duration);

// The same over all classes, followed by "classes": {"chat": {…}, …}.
std::string FormatStatisticsMembers(const RunStatistics& statistics, Seconds duration);

}  // namespace headrace::workload
