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
#include "profile/slo.h"

namespace headrace {

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
};

// Something wrong or odd in a profile that still loads.
struct ProfileFault {
  enum class Severity { kWarning, kError };
  Severity severity = Severity::kWarning;
  std::optional<ProfileCell> cell;
  std::string message;  // One sentence: the matrix, the cell in tokens, what is wrong, the mend.
};

// Immutable once parsed; shared by pointer. Format: AIBrix's GPU profile JSON, where `tputs`,
// `e2e`, `ttft`, `tpot` are [output][input] matrices and `indexes` is [[output tokens], [input
// tokens]].
struct GpuProfile {
  std::string deployment;  // JSON key `gpu`.
  double cost = 0;         // Price of one unit of GPU time.
  Seconds created = 0;     // Unix time.
  BucketAxis outputs;
  BucketAxis inputs;
  // Highest request rate (req/s) that still meets the SLO; 0 = it cannot be met in this bucket.
  BucketMatrix tput;
  // Mean seconds at that rate; absent in profiles of an older generation.
  std::optional<BucketMatrix> e2e;
  std::optional<BucketMatrix> ttft;
  std::optional<BucketMatrix> tpot;
  Slo slo;  // JSON key `slos`; no latency set when the file has none.

  ProfileCell Find(Tokens prompt_tokens, Tokens output_tokens) const {
    return {outputs.Find(output_tokens), inputs.Find(prompt_tokens)};
  }
};

struct ParsedProfile {
  GpuProfile profile;
  std::vector<ProfileFault> faults;  // In file order; empty for a clean profile.
};

// Reads a profile. `name` (a file or a Redis key) begins every sentence. Accepts the bare NaN and
// Infinity that Python's json.dump writes. Errors: not JSON (with line), a key that is missing or
// of a wrong type, matrices whose shape does not fit `indexes`, centres that do not ascend, or a
// profile in which no cell at all has a usable tput. Cells that are NaN, infinite or negative
// become holes and a fault each.
Result<ParsedProfile> ParseGpuProfile(std::string_view json, std::string_view name);

// The inverse, in the same format; holes are written as NaN, absent matrices left out.
std::string FormatGpuProfile(const GpuProfile& profile);

}  // namespace headrace
