// Service level objectives: the latencies that a user was promised.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/units.h"

namespace headrace::slo {

// Any subset may be set. Latencies are per request:
//   TTFT = first token − arrival at the gateway, gateway queue included
//   TPOT = (E2E − TTFT) / (output tokens − 1)
//   TPAT = E2E / (prompt tokens + output tokens)
//   NTPOT = E2E / output tokens: the normalized time per output token, waiting and prefill included
//   E2E  = last token − arrival at the gateway
// `percentile` (0 = the mean, else 50, 90, 95 or 99) says which statistic of a GPU's measurements
// must meet them; `tput` (req/s) and `tt` (output tokens/s) are targets of a GPU. These three are
// used only when a profile is generated.
struct Slo {
  int percentile = 0;
  std::optional<Seconds> ttft;
  std::optional<Seconds> tpot;
  std::optional<Seconds> tpat;
  std::optional<Seconds> ntpot;
  std::optional<Seconds> e2e;
  std::optional<double> tput;
  std::optional<double> tt;

  // Whether there is a latency target per request at all.
  bool HasLatency() const { return ttft || tpot || tpat || ntpot || e2e; }
  bool SameLatencies(const Slo& other) const {
    return ttft == other.ttft && tpot == other.tpot && tpat == other.tpat && ntpot == other.ntpot &&
           e2e == other.e2e;
  }

  bool operator==(const Slo&) const = default;
};

// The one latency by which a request of a known size is ranked.
struct Target {
  // What it is compared with.
  enum class Measure : std::uint8_t { kTtft, kE2e };
  Measure measure = Measure::kE2e;
  Seconds seconds = 0;  // From the request's arrival.
};

// AIBrix's rule, the only one of its kind, with NTPOT added: the first latency that is set counts,
// in this order:
//   tpot → E2E within tpot · output + ttft (0 if not set)
//   ttft → TTFT within ttft
//   tpat → E2E within tpat · (prompt + output)
//   ntpot → E2E within ntpot · output
//   e2e  → E2E within e2e
// nullopt if no latency is set.
inline std::optional<Target> TargetOf(const Slo& slo, Tokens prompt_tokens, Tokens output_tokens) {
  using enum Target::Measure;
  if (slo.tpot) return Target{kE2e, *slo.tpot * output_tokens + slo.ttft.value_or(0)};
  if (slo.ttft) return Target{kTtft, *slo.ttft};
  if (slo.tpat) {
    return Target{kE2e, *slo.tpat * (static_cast<double>(prompt_tokens) + output_tokens)};
  }
  if (slo.ntpot) return Target{kE2e, *slo.ntpot * output_tokens};
  if (slo.e2e) return Target{kE2e, *slo.e2e};
  return std::nullopt;
}

// Until when a response of so many tokens has to end, from the request's arrival on: a straight
// line in its length.
struct EndLimit {
  Seconds at = 0;
  Seconds per_token = 0;
};

// What TPAT, NTPOT and E2E demand of the end of a response: all of these limits hold. (TTFT and
// TPOT say nothing of it by themselves.)
class EndLimits {
 public:
  EndLimits() = default;
  EndLimits(const Slo& slo, Tokens prompt_tokens) {
    if (slo.tpat) limits_[count_++] = {*slo.tpat * prompt_tokens, *slo.tpat};
    if (slo.ntpot) limits_[count_++] = {0, *slo.ntpot};
    if (slo.e2e) limits_[count_++] = {*slo.e2e, 0};
  }

  bool empty() const { return count_ == 0; }
  const EndLimit* begin() const { return limits_.data(); }
  const EndLimit* end() const { return limits_.data() + count_; }
  // The earliest of them for a response of this length; kNever if there is none.
  Seconds Earliest(double output_tokens) const {
    Seconds earliest = kNever;
    for (const EndLimit& limit : *this) {
      earliest = std::min(earliest, limit.at + limit.per_token * output_tokens);
    }
    return earliest;
  }

 private:
  std::array<EndLimit, 3> limits_;
  std::size_t count_ = 0;
};

// Whose SLO holds for a request: its own, else its pool's, else the profile's of the GPU that
// serves it. They are never mixed: a target that the request did not set must not outrank one that
// it did. Null if there is none. The result points to one of the arguments.
inline const Slo* EffectiveSlo(const std::optional<Slo>& request, const std::optional<Slo>& pool,
                               const Slo* profile) {
  if (request) return &*request;
  if (pool) return &*pool;
  return profile;
}

// What one finished request experienced.
struct RequestLatency {
  // From arrival to the first token. Nobody knows it of a response that came as a whole.
  std::optional<Seconds> ttft;
  Seconds e2e = 0;  // From arrival to the last token.
  Tokens prompt_tokens = 0;
  Tokens output_tokens = 0;

  // 0 for a response of at most one token, which has no gaps; not known without a TTFT.
  std::optional<Seconds> Tpot() const {
    if (!ttft) return std::nullopt;
    return output_tokens > 1 ? (e2e - *ttft) / (output_tokens - 1) : 0;
  }
  Seconds Tpat() const {
    const double all = static_cast<double>(prompt_tokens) + output_tokens;
    return all > 0 ? e2e / all : e2e;
  }
  Seconds Ntpot() const { return output_tokens > 0 ? e2e / output_tokens : e2e; }
};

// Whether `latency` says all that `slo` asks: a target of TTFT or TPOT needs a first token.
inline bool CanJudge(const Slo& slo, const RequestLatency& latency) {
  return latency.ttft || !(slo.ttft || slo.tpot);
}

// Whether a request that finished with `latency` met every latency target in `slo`. One that cannot
// be judged did not.
inline bool Attained(const Slo& slo, const RequestLatency& latency) {
  if (!CanJudge(slo, latency)) return false;
  return !(slo.ttft && *latency.ttft > *slo.ttft) && !(slo.tpot && *latency.Tpot() > *slo.tpot) &&
         !(slo.tpat && latency.Tpat() > *slo.tpat) &&
         !(slo.ntpot && latency.Ntpot() > *slo.ntpot) && !(slo.e2e && latency.e2e > *slo.e2e);
}

// "tpat 50 ms" or "ttft 1 s, tpot 40 ms"; "none" if no latency is set.
std::string Describe(const Slo& slo);

}  // namespace headrace::slo
