// What one GPU type can do for one model: the profile of a (model, deployment).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "slo/slo.h"

namespace headrace::profile {

// One number per (output bucket, input bucket). NaN = a hole: the cell is unknown.
class BucketMatrix {
 public:
  BucketMatrix() = default;
  BucketMatrix(std::size_t outputs, std::size_t inputs, double value)
      : inputs_(inputs), values_(outputs * inputs, value) {}

  std::size_t outputs() const { return inputs_ == 0 ? 0 : values_.size() / inputs_; }
  std::size_t inputs() const { return inputs_; }
  double& at(std::size_t output, std::size_t input) { return values_[output * inputs_ + input]; }
  double at(std::size_t output, std::size_t input) const {
    return values_[output * inputs_ + input];
  }
  // Row by row, one row per output bucket.
  std::span<const double> values() const { return values_; }
  bool operator==(const BucketMatrix&) const = default;

 private:
  std::size_t inputs_ = 0;
  std::vector<double> values_;
};

// Ascending bucket centres with exact lookup in log2 space: below the first centre → first, above
// the last → last, else the nearer of the two neighbours, with the border at
// log2(low) + ½·(log2(high) − log2(low)); a value exactly on the border goes up.
class BucketAxis {
 public:
  BucketAxis() = default;
  // `centres` must be strictly ascending and positive (ParseGpuProfile checks).
  explicit BucketAxis(std::vector<Tokens> centres);

  std::span<const Tokens> centres() const { return centres_; }
  std::size_t size() const { return centres_.size(); }
  // O(number of centres), branch-free: an axis has a dozen of them.
  std::size_t Find(Tokens tokens) const {
    // value ≥ √(low·high) ⇔ value² ≥ low·high, exactly, in integers.
    const std::uint64_t value = tokens > 0 ? static_cast<std::uint64_t>(tokens) : 0;
    std::size_t index = 0;
    for (const std::uint64_t border : borders_) index += value * value >= border;
    return index;
  }
  bool operator==(const BucketAxis&) const = default;

 private:
  std::vector<Tokens> centres_;
  std::vector<std::uint64_t> borders_;  // low·high of each pair of neighbours.
};

// A cell of a profile, by the indexes of its buckets.
struct ProfileCell {
  std::size_t output = 0;
  std::size_t input = 0;
  bool operator==(const ProfileCell&) const = default;
};

// How messages name a cell: "output 128, input 2048 tokens".
std::string CellName(Tokens output, Tokens input);

// Something wrong or odd in a profile that still loads. After an error a part of the profile (a
// cell, a matrix, an SLO) is ignored; after a warning nothing is.
struct ProfileFault {
  enum class Severity { kWarning, kError };
  Severity severity = Severity::kWarning;
  std::optional<ProfileCell> cell;  // The first if the fault concerns several.
  std::string message;  // One sentence: the matrix, the cell in tokens, what is wrong, the fix.
  bool operator==(const ProfileFault&) const = default;
};

// What a benchmark measured besides the means, per cell; routing does not read it. In the file,
// extra JSON keys of the same names, which AIBrix ignores. A percentile belongs to the same request
// rate as the mean of its cell.
struct ProfileDetail {
  std::optional<BucketMatrix> rates;    // Request rate offered while it was measured, req/s.
  std::optional<BucketMatrix> samples;  // Number of requests measured.
  std::optional<BucketMatrix> e2e_p50, e2e_p90, e2e_p99;     // Seconds.
  std::optional<BucketMatrix> ttft_p50, ttft_p90, ttft_p99;  // Seconds.
  std::optional<BucketMatrix> tpot_p50, tpot_p90, tpot_p99;  // Seconds.
  std::optional<BucketMatrix> e2e_p95, ttft_p95, tpot_p95;   // If the SLO is of P95.
  bool operator==(const ProfileDetail&) const = default;
};

// Every member of ProfileDetail by its JSON key.
struct DetailKey {
  std::string_view key;
  std::optional<BucketMatrix> ProfileDetail::* member;
};
std::span<const DetailKey> DetailKeys();

// Immutable once parsed; shared by pointer. Format: AIBrix's GPU profile JSON, where `tputs`,
// `e2e`, `ttft`, `tpot` are [output][input] matrices and `indexes` is [[output tokens], [input
// tokens]].
struct GpuProfile {
  std::string deployment;  // JSON key `gpu`.
  double cost = 0;         // Price of one unit of GPU time.
  Seconds created = 0;     // Unix time; 0 if the file does not have it.
  BucketAxis outputs;
  BucketAxis inputs;
  // Highest request rate (req/s) that still meets the SLO; 0 = it cannot be met in this bucket.
  BucketMatrix tput;
  // Mean seconds at that rate; nullopt in profiles of older generators.
  std::optional<BucketMatrix> e2e;
  std::optional<BucketMatrix> ttft;
  std::optional<BucketMatrix> tpot;
  slo::Slo slo;  // JSON key `slos`; without latencies if the file has none.
  ProfileDetail detail;

  ProfileCell Find(Tokens prompt_tokens, Tokens output_tokens) const {
    return {outputs.Find(output_tokens), inputs.Find(prompt_tokens)};
  }
};

// Whether any tput is above 0: the SLO of the profile is met with some size of request.
bool HasUsableCell(const GpuProfile& profile);

struct ParsedProfile {
  GpuProfile profile;
  std::vector<ProfileFault> faults;  // Empty for a clean profile.
};

// An axis with more centres is refused: a lookup compares with all of them.
inline constexpr std::size_t kMaxBucketCentres = 256;

// Reads a profile. `name` (a file or a Redis key) begins every message. Accepts the bare NaN and
// Infinity that Python's json.dump writes, and null for NaN.
//
// Errors: not JSON (with line and column); `gpu`, `tputs` or `indexes` missing or of a wrong type;
// `tputs` of a shape that does not fit `indexes`; centres that are not whole, positive and
// ascending; a profile without a cell whose tput is above 0.
// Faults: cells that are NaN, infinite or negative become holes, one error each (the first few of a
// matrix; the others are counted; only a warning for a latency where tput is 0). The same goes for
// an e2e of 0 where tput is above 0: it would make the load of one request infinite. A malformed
// `e2e`, `ttft`, `tpot`, `slos` or detail matrix is ignored, with an error. A missing `cost` or
// `created` reads as 0, with a warning. Latencies too small to be true give a warning too
// (check.h).
Result<ParsedProfile> ParseGpuProfile(std::string_view json, std::string_view name);

// The inverse, as JSON that every reader accepts: AIBrix's gateway (Go) refuses a file with a bare
// NaN, and its optimizer (Python) compares every tput with 0. So a hole is written as null, and in
// `tputs` as 0. Matrices that are nullopt are left out.
std::string FormatGpuProfile(const GpuProfile& profile);

}  // namespace headrace::profile
