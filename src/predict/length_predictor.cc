#include "predict/length_predictor.h"

#include <algorithm>
#include <cmath>

namespace headrace::predict {
namespace {

// Assumed when nothing is known: a usual length of a chat response. Never "1 token", which would
// make every request look free.
constexpr Tokens kDefaultLength = 256;

// Whatever was seen so far, a response may have so many tokens; and no response has more than that.
constexpr Tokens kAlwaysBelieved = 4096;
constexpr Tokens kNeverBelieved = 1 << 22;

constexpr Seconds kKeepDistribution = 1;

// What the prior counts for, in samples, and the spread of its logarithm: lengths of chat responses
// spread by about 1 (ShareGPT: 1.1).
constexpr double kPriorSamples = 2;
constexpr double kPriorSpread = 1;

}  // namespace

std::string_view ToString(LengthSource source) {
  switch (source) {
    case LengthSource::kObserved:
      return "observed";
    case LengthSource::kPrior:
      return "prior";
    case LengthSource::kProfile:
      return "profile";
    case LengthSource::kMaxTokens:
      return "max_tokens";
    case LengthSource::kDefault:
      return "default";
  }
  return "default";
}

void LengthPredictor::Advance(Seconds now) {
  const auto oldest = static_cast<std::int64_t>(std::floor((now - options_.window) / kStep));
  while (!steps_.empty() && steps_.front().number <= oldest) {
    for (const StepEntry& entry : steps_.front().entries) {
      Cell& cell = cells_[entry.input][entry.output];
      cell.count -= entry.cell.count;
      cell.tokens -= entry.cell.tokens;
      row_counts_[entry.input] -= entry.cell.count;
      column_counts_[entry.output] -= entry.cell.count;
      total_ -= entry.cell.count;
    }
    for (const FineEntry& entry : steps_.front().fine) {
      fine_[entry.input][entry.bucket] -= static_cast<std::int32_t>(entry.count);
    }
    steps_.pop_front();
  }
}

Tokens LengthPredictor::MostBelieved() const {
  int longest = kLog2Buckets - 1;
  while (longest > 0 && column_counts_[longest] == 0) --longest;
  if (Log2BucketCentre(longest) >= kNeverBelieved / 2) return kNeverBelieved;
  return std::max(kAlwaysBelieved, 2 * Log2BucketCentre(longest));
}

void LengthPredictor::Record(Seconds now, Tokens prompt_tokens, Tokens output_tokens) {
  Advance(now);
  output_tokens = std::min(output_tokens, MostBelieved());
  const auto number = static_cast<std::int64_t>(std::floor(now / kStep));
  if (steps_.empty() || steps_.back().number != number) steps_.push_back({number, {}, {}});
  const int input = Log2Bucket(prompt_tokens);
  const int output = Log2Bucket(output_tokens);
  auto& entries = steps_.back().entries;
  auto entry = std::find_if(entries.begin(), entries.end(), [&](const StepEntry& e) {
    return e.input == input && e.output == output;
  });
  if (entry == entries.end()) entry = entries.insert(entry, {input, output, {}});
  for (Cell* cell : {&entry->cell, &cells_[input][output]}) {
    cell->count += 1;
    cell->tokens += output_tokens;
  }
  row_counts_[input] += 1;
  column_counts_[output] += 1;
  total_ += 1;

  if (!keeps_fine_) return;
  const int bucket = LengthDistribution::BucketOf(output_tokens);
  auto& fine = steps_.back().fine;
  auto found = std::find_if(fine.begin(), fine.end(), [&](const FineEntry& e) {
    return e.input == input && e.bucket == bucket;
  });
  if (found == fine.end()) found = fine.insert(found, {input, bucket, 0});
  found->count += 1;
  fine_[input][bucket] += 1;
  recorded_ += 1;
}

template <typename Add>
bool LengthPredictor::RowsAround(int input, const Add& add) const {
  if (total_ < kEnoughSamples) return false;
  std::int64_t samples = 0;
  const auto add_row = [&](int index) {
    if (index < 0 || index >= kLog2Buckets || row_counts_[index] == 0) return;
    add(index);
    samples += row_counts_[index];
  };
  add_row(input);
  for (int reach = 1; samples < kEnoughSamples; ++reach) {
    add_row(input - reach);
    add_row(input + reach);
  }
  return true;
}

bool LengthPredictor::Gather(int input, std::array<Cell, kLog2Buckets>& row) const {
  return RowsAround(input, [&](int index) {
    for (int i = 0; i < kLog2Buckets; ++i) {
      row[i].count += cells_[index][i].count;
      row[i].tokens += cells_[index][i].tokens;
    }
  });
}

const LengthDistribution::Counts& LengthPredictor::Prior(Tokens median) {
  if (median == prior_median_) return prior_;
  prior_median_ = median;
  double before = 0;
  for (int i = 0; i <= LengthDistribution::kBuckets; ++i) {
    const double z = std::log(LengthDistribution::BeginOf(i) / median) / kPriorSpread;
    const double below = 0.5 * std::erfc(-z / std::sqrt(2.0));
    if (i > 0) prior_[i - 1] = static_cast<float>(kPriorSamples * (below - before));
    before = below;
  }
  return prior_;
}

std::shared_ptr<const LengthDistribution> LengthPredictor::Distribution(Seconds now,
                                                                        Tokens prompt_tokens,
                                                                        Tokens typical) {
  Advance(now);
  keeps_fine_ = true;
  const int input = Log2Bucket(prompt_tokens);
  Cached& cached = cached_[input];
  if (cached.distribution && now - cached.made < kKeepDistribution && cached.typical == typical &&
      recorded_ - cached.samples <= kEnoughSamples / 2 + total_ / 10) {
    return cached.distribution;
  }
  LengthDistribution::Counts counts = Prior(options_.prior > 0 ? options_.prior
                                            : typical > 0      ? typical
                                                               : kDefaultLength);
  RowsAround(input, [&](int index) {
    for (int i = 0; i < LengthDistribution::kBuckets; ++i) {
      counts[i] += static_cast<float>(fine_[index][i]);
    }
  });
  cached = {std::make_shared<LengthDistribution>(counts), now, recorded_, typical};
  return cached.distribution;
}

double LengthPredictor::Summarise(const std::array<Cell, kLog2Buckets>& row, Rng& rng) const {
  Cell all;
  for (const Cell& cell : row) {
    all.count += cell.count;
    all.tokens += cell.tokens;
  }
  if (options_.summary == LengthOptions::Summary::kMean) {
    return static_cast<double>(all.tokens) / static_cast<double>(all.count);
  }
  const double wanted = options_.summary == LengthOptions::Summary::kQuantile
                            ? options_.quantile * static_cast<double>(all.count)
                            : rng.Uniform() * static_cast<double>(all.count);
  std::int64_t seen = 0;
  double length = 1;
  for (const Cell& cell : row) {
    if (cell.count == 0) continue;
    seen += cell.count;
    length = static_cast<double>(cell.tokens) / static_cast<double>(cell.count);
    if (static_cast<double>(seen) >= wanted) break;
  }
  return length;
}

LengthEstimate LengthPredictor::Predict(Seconds now, Tokens prompt_tokens,
                                        std::optional<Tokens> max_tokens, Tokens typical,
                                        Rng& rng) {
  Advance(now);
  LengthEstimate estimate;
  std::array<Cell, kLog2Buckets> row{};
  if (Gather(Log2Bucket(prompt_tokens), row)) {
    estimate = {static_cast<Tokens>(std::lround(Summarise(row, rng))), LengthSource::kObserved};
  } else if (options_.prior > 0) {
    estimate = {options_.prior, LengthSource::kPrior};
  } else if (typical > 0) {
    estimate = {typical, LengthSource::kProfile};
  } else if (max_tokens) {
    estimate = {*max_tokens, LengthSource::kMaxTokens};
  } else {
    estimate = {kDefaultLength, LengthSource::kDefault};
  }
  if (max_tokens) estimate.tokens = std::min(estimate.tokens, *max_tokens);
  estimate.tokens = std::max(estimate.tokens, Tokens{1});
  return estimate;
}

}  // namespace headrace::predict
