// The file that a benchmark grows in, measurement by measurement.
#pragma once

#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "benchmark/benchmark_rows.h"
#include "benchmark/measurement.h"

namespace headrace::measure {

// What all measurements of a file have in common.
struct BenchmarkSubject {
  std::string model;
  std::string deployment;
  std::string slo;  // With its percentile: they decide which rates are measured.
};

// Every measurement is on disk as soon as it is added, so that an interrupted benchmark can
// continue. Not thread-safe.
class BenchmarkFile {
 public:
  // Opens or makes `path` and reads the measurements in it; one that was cut off by a crash is
  // dropped. Errors: not a benchmark; measurements of another model, deployment or SLO, or that do
  // not say of which; no regular file; cannot be written.
  static Result<BenchmarkFile> Open(const std::string& path, const BenchmarkSubject& subject);

  std::size_t measurements() const { return known_.size(); }
  // The measurement of an earlier run at this point, if any.
  std::optional<benchmark::Measurement> Find(const benchmark::GridPoint& point) const;
  Result<void> Add(const benchmark::Measurement& measured, std::int64_t seed);
  // Puts the rows in order: by output, input and rate.
  Result<void> Finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  BenchmarkFile(std::string path, BenchmarkSubject subject)
      : path_(std::move(path)), subject_(std::move(subject)) {}
  Result<void> Load(const std::string& text);
  Result<void> Rewrite();

  std::string path_;
  BenchmarkSubject subject_;
  std::unique_ptr<std::FILE, Close> file_;
  std::vector<benchmark::BenchmarkRow> rows_;
  std::map<benchmark::GridPoint, benchmark::Measurement> known_;
};

// The rows in order of output, input, rate and metric, so that a cell's first row is that of its
// lowest rate: a generator takes the latencies of a cell that meets no SLO from there.
std::string FormatBenchmark(std::vector<benchmark::BenchmarkRow> rows);

}  // namespace headrace::measure
