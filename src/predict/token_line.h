// Tokens as a line over bytes, learned from requests that an engine has counted.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/units.h"

namespace headrace::predict {

// tokens ≈ constant + slope · bytes. The constant is what a chat template adds; the slope is that
// of the text.
//
// Robust: the line is fitted by iteratively reweighted least squares (Cauchy's weights), so a count
// that is far off from what is usual pulls little. It leans on a prior, and
// keeps within what tokenizers do: at most one token per byte. The last 32 samples of every octave
// of sizes are kept, and a sample's weight halves with every 1,000 later ones, so many prompts of
// one size do not push out what is known of others. Not thread-safe.
class TokenLine {
 public:
  // Until there are samples: the usual rule for English text.
  static constexpr double kUsualSlope = 0.25;
  // No text has more; base64 has 0.75, bytes that no vocabulary knows have 1.
  static constexpr double kMostSlope = 1;
  static constexpr double kLeastSlope = 1.0 / 16;
  // Of a template with all that it adds; what is above is no count of this text.
  static constexpr double kMostConstant = 32'768;

  // The prior's slope, until there are samples. Takes effect with the next fit.
  void SetPrior(double slope) { prior_slope_ = slope; }
  // A count that no tokenizer gives for so many bytes is ignored, and so are 0 bytes.
  void Learn(std::int64_t bytes, Tokens tokens);

  double At(std::int64_t bytes) const {
    return constant_ + (samples_ > 0 ? slope_ : prior_slope_) * static_cast<double>(bytes);
  }
  // The least that prompts of about this size have come to, for these bytes; what any text comes to
  // at least where fewer than 8 of about this size were seen.
  double Least(std::int64_t bytes) const;
  // A prompt of this size was refused for what it was taken for. A refused one teaches nothing, so
  // while nothing of its size does, every 16th is to be tried all the same: true for that one.
  bool Refused(std::int64_t bytes);
  // What text of so many bytes comes to at least, of whatever kind.
  static double Floor(std::int64_t bytes) { return kLeastSlope * static_cast<double>(bytes); }

  double slope() const { return samples_ > 0 ? slope_ : prior_slope_; }
  double constant() const { return constant_; }
  std::int64_t samples() const { return samples_; }

 private:
  static constexpr int kOctaves = 32;
  static constexpr std::size_t kPerOctave = 32;

  struct Sample {
    float bytes;
    float tokens;
    std::int64_t number;  // Of all, in order.
  };
  struct Octave {
    std::vector<Sample> samples;
    std::size_t next = 0;  // The oldest, once it is full.
    int refused = 0;       // Since the last sample.
  };
  // A sample while the line is fitted.
  struct Point {
    double bytes;
    double tokens;
    double age_weight;
    double residual;  // In units of Spread.
  };

  static int OctaveOf(std::int64_t bytes);
  // By how much the tokens of one text differ from the line.
  double Spread(double bytes) const;
  void Fit();
  void Solve(double usual_residual);

  double prior_slope_ = kUsualSlope;
  double slope_ = kUsualSlope;
  double constant_ = 0;
  std::int64_t samples_ = 0;
  int since_fit_ = 0;
  std::array<Octave, kOctaves> octaves_;
  std::vector<Point> points_;  // Scratch.
  std::vector<double> sizes_;  // Scratch: of residuals.
};

}  // namespace headrace::predict
