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

// One number per (output bucket, input bucket). NaN = a hole: nothing is known about the cell.
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
  bool operator==(const BucketMatrix&) const = default;

 private:
  std::size_t inputs_ = 0;
  std::vector<double> values_;  // Row-major, a row per output bucket.
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

// A cell of a profile.
struct ProfileCell {
  std::size_t output = 0;
  std::size_t input = 0;
  bool operator==(const ProfileCell&) const = default;
};

// Something wrong or odd in a profile that still loads. An error lost something (a cell, a matrix,
// an SLO); a warning lost nothing.
struct ProfileFault {
  enum class Severity { kWarning, kError };
  Severity severity = Severity::kWarning;
  std::optional<ProfileCell> cell;  // The first, where the fault concerns several.
  std::string message;  // One sentence: the matrix, the cell in tokens, what is wrong, the mend.
  bool operator==(const ProfileFault&) const = default;
};

// What a benchmark measured beside the means, per cell; nothing on the request path reads it. Extra
// JSON keys of the same names, which AIBrix ignores. A percentile belongs to the same request rate
// as the mean it stands beside.
struct ProfileDetail {
  std::optional<BucketMatrix> rates;    // Request rate offered while it was measured, req/s.
  std::optional<BucketMatrix> samples;  // Number of requests measured.
  std::optional<BucketMatrix> e2e_p50, e2e_p90, e2e_p99;     // Seconds.
  std::optional<BucketMatrix> ttft_p50, ttft_p90, ttft_p99;  // Seconds.
  std::optional<BucketMatrix> tpot_p50, tpot_p90, tpot_p99;  // Seconds.
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
  Seconds created = 0;     // Unix time; 0 when the file does not say.
  BucketAxis outputs;
  BucketAxis inputs;
  // Highest request rate (req/s) that still meets the SLO; 0 = it cannot be met in this bucket.
  BucketMatrix tput;
  // Mean seconds at that rate; absent in profiles of an older generation.
  std::optional<BucketMatrix> e2e;
  std::optional<BucketMatrix> ttft;
  std::optional<BucketMatrix> tpot;
  slo::Slo slo;  // JSON key `slos`; no latency set when the file has none.
  ProfileDetail detail;

  ProfileCell Find(Tokens prompt_tokens, Tokens output_tokens) const {
    return {outputs.Find(output_tokens), inputs.Find(prompt_tokens)};
  }
};

// Whether any tput is above 0; a profile without one is refused when it is read.
bool HasUsableCell(const GpuProfile& profile);

struct ParsedProfile {
  GpuProfile profile;
  std::vector<ProfileFault> faults;  // Empty for a clean profile.
};

// More centres than this on an axis are refused: a lookup walks them all.
inline constexpr std::size_t kMaxBucketCentres = 256;

// Reads a profile. `name` (a file or a Redis key) begins every sentence, errors and faults alike.
// Accepts the bare NaN and Infinity that Python's json.dump writes, and null for NaN.
//
// Errors: not JSON (with line and column); `gpu`, `tputs` or `indexes` missing or of a wrong type;
// `tputs` of a shape that does not fit `indexes`; centres that are not whole, positive and
// ascending; a profile in which no cell at all has a usable tput.
// Faults: cells that are NaN, infinite or negative become holes, an error each (the first few of a
// matrix; the rest is counted; only a warning for a latency where tput is 0), and so does an e2e of
// 0 beside a usable tput, which would make one request's load infinite. A broken `e2e`, `ttft`,
// `tpot`, `slos` or detail matrix is left out, an error. A missing `cost` or `created` reads as 0,
// a warning. Latencies too small to be true are warned of (CheckLatencies in check.h).
Result<ParsedProfile> ParseGpuProfile(std::string_view json, std::string_view name);

// The inverse, in the same format and JSON that every reader takes: AIBrix's gateway (Go) refuses a
// file with a bare NaN, and its optimizer (Python) compares every tput with 0. So a hole is written
// as null, and in `tputs` as 0. Absent matrices are left out.
std::string FormatGpuProfile(const GpuProfile& profile);

}  // namespace headrace::profile
