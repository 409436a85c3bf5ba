// The outcome of the requests: counts, attainment and latency percentiles per class and in total.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/json_writer.h"
#include "base/units.h"
#include "slo/slo.h"

namespace headrace::workload {

// Latencies are those of completed requests and count from the arrival, the gateway's queue
// included (slo/slo.h has the formulas). TPOT is that of responses of at least two tokens.
struct ClassReport {
  std::uint64_t offered = 0;
  std::uint64_t completed = 0;
  std::uint64_t refused = 0;
  std::uint64_t timed_out = 0;  // Did not finish in time: given up, or cut off by the end.
  std::uint64_t failed = 0;     // Broken off by the other side.
  std::uint64_t attained = 0;   // Met every latency target.
  // Of completed requests.
  std::uint64_t prompt_tokens = 0;
  std::uint64_t output_tokens = 0;
  Histogram ttft;
  Histogram tpot;
  Histogram tpat;
  Histogram ntpot;
  Histogram e2e;
  Histogram queue;               // From arrival to dispatch, where that is known.
  Histogram ttft_without_queue;  // From dispatch to the first token, likewise.

  // attained / offered: a request that was refused or did not finish is a miss. 0 if none arrived.
  double Attainment() const {
    return offered == 0 ? 0 : static_cast<double>(attained) / static_cast<double>(offered);
  }
  // One of the offered requests was completed.
  void Complete(const slo::RequestLatency& latency, std::optional<Seconds> queued,
                bool met_its_slo);
  void Merge(const ClassReport& other);
};

// Per second of the time in which the requests arrived: what was completed of them, whenever that
// was, and of that what met its SLO (the goodput). So a slow end of a run, or a short one, does not
// count as less than was served, and goodput is attainment times the offered rate.
struct Rates {
  double throughput = 0;
  double goodput = 0;
  double prompt_tokens = 0;
  double output_tokens = 0;
};
// NaN where no time has passed.
Rates RatesOf(const ClassReport& report, Seconds arrivals);

// Which percentiles of the latencies a report has, in percent.
inline constexpr double kUsualPercentiles[] = {50, 90, 95, 99};

// Counts every offered request exactly once more: as completed, refused, timed out or failed.
// Constant memory. Not thread-safe.
class RunStatistics {
 public:
  // One class per name, in the order of the workload.
  explicit RunStatistics(const std::vector<std::string>& class_names);

  void Offer(std::size_t class_index) { ++classes_[class_index].report.offered; }
  // Without an SLO every completed request attains. Returns whether this one did.
  bool Complete(std::size_t class_index, const slo::RequestLatency& latency, Seconds queued,
                const std::optional<slo::Slo>& slo);
  void Refuse(std::size_t class_index) { ++classes_[class_index].report.refused; }
  void TimeOut(std::size_t class_index) { ++classes_[class_index].report.timed_out; }
  void Fail(std::size_t class_index) { ++classes_[class_index].report.failed; }
  // Adds what another run counted.
  void MergeClass(std::size_t class_index, const ClassReport& report) {
    classes_[class_index].report.Merge(report);
  }

  std::size_t size() const { return classes_.size(); }
  const std::string& name(std::size_t class_index) const { return classes_[class_index].name; }
  const ClassReport& of(std::size_t class_index) const { return classes_[class_index].report; }
  // The class with the lowest attainment, the first of equals; nullopt if nothing was offered.
  std::optional<std::size_t> WorstClass() const;
  // Over all classes.
  ClassReport Total() const;

 private:
  struct NamedReport {
    std::string name;
    ClassReport report;
  };
  std::vector<NamedReport> classes_;
};

// Writes these members into the object that is open in `json`:
//   "offered": 660, "completed": …, "refused": …, "timed_out": …, "failed": …,
//   "attained": …, "attainment": 0.98, "throughput_rps": 11, "goodput_rps": 10.8,
//   "prompt_tokens_per_s": …, "output_tokens_per_s": …,
//   "ttft_s": {"mean": …, "p50": …, "p90": …, "p95": …, "p99": …}, and the same for
//   ttft_without_queue_s, tpot_s, tpat_s, ntpot_s, e2e_s, queue_s
// A latency that no request had is null.
void WriteReport(const ClassReport& report, const Rates& rates, JsonWriter& json,
                 std::span<const double> percentiles = kUsualPercentiles);

// The same over all classes, followed by "classes": {"chat": {…}, …}.
void WriteStatistics(const RunStatistics& statistics, Seconds arrivals, JsonWriter& json);

}  // namespace headrace::workload
