// Whether an endpoint is trusted with requests, judged by how its last ones ended.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/units.h"
#include "fleet/engine_fault.h"

namespace headrace::fleet {

// What an operator chooses.
struct EjectionOptions {
  bool enabled = true;
  int failures = 5;           // In a row, until an endpoint is ejected; ≥ 1.
  double error_rate = 0.3;    // Or such a share of its last requests, while others fare better.
  Seconds backoff = 10;       // Of the first ejection. Doubles with each that follows, …
  Seconds max_backoff = 300;  // … up to this.
  double max_share = 0.5;     // Of a pool's endpoints that are up, that may be out at once.
};

// Requests that ended of late, one endpoint's or those of several. Time does not run backwards.
class RecentEnds {
 public:
  struct Count {
    int all = 0;
    int failed = 0;
    bool operator==(const Count&) const = default;
  };

  // Half of it to all of it is counted.
  static constexpr Seconds kWindow = 30;

  void Add(bool failed, Seconds now) {
    if (now >= until_) Add({.number = HalfAt(now), .count = {}});
    halves_[0].count.all += 1;
    halves_[0].count.failed += failed ? 1 : 0;
  }
  void Add(const RecentEnds& other);
  // What was added.
  void Remove(const RecentEnds& other);
  Count At(Seconds now) const;

 private:
  struct Half {
    std::int64_t number = 0;  // Counted from time 0.
    Count count;
  };
  static std::int64_t HalfAt(Seconds now);
  void Add(const Half& half);

  // The last one with an end, and the one with an end before.
  std::array<Half, 2> halves_{{{.number = -1, .count = {}}, {.number = -2, .count = {}}}};
  Seconds until_ = 0;  // The end of the last one: nothing else is to be known of most requests.
};

// One endpoint's. It is closed while all is well, as an electric circuit is.
//
//            failures                over            succeeds
//   closed ───────────► ejected ──────────► probing ──────────► slow start ──► closed
//     ▲ │                  ▲                   │ fails               │ fails
//     │ └─► resting        └───────────────────┴─────────────────────┘
//     └────────┘ a failure or two
//
// After a single failure the endpoint rests for a moment, a longer one after each that follows, so
// that one that fails at once never looks idle. When it is ejected, nothing goes there until its
// back-off is over; then one request, the probe, shows how it is now. In slow start it gets more
// and more requests at a time. An endpoint that is full or starting (EngineFault::kBusy) is not
// broken: it is ejected for a tenth of the time, and one such answer does not end its slow start.
// It may ask to be left alone for longer (Retry-After); its slow start then begins anew.
//
// Requests that were sent before the last change of this kind say nothing of what is now: each
// carries the era in which it was sent. Time is an argument. Not thread-safe.
class CircuitBreaker {
 public:
  enum class State : std::uint8_t { kClosed, kResting, kEjected, kProbing, kSlowStart };
  using Era = std::uint32_t;

  // Of the window of RecentEnds; fewer have no error rate.
  static constexpr int kLeastRequests = 20;
  static constexpr Seconds kSlowStart = 10;

  State state() const { return state_; }
  // Takes no requests, or only the probe.
  bool IsOut() const {
    return state_ == State::kResting || state_ == State::kEjected || state_ == State::kProbing;
  }
  bool Admits() const { return state_ == State::kClosed || AdmitsOnTrial(); }
  // When Advance has something to do; kNever if never.
  Seconds until() const { return until_; }
  // Failures in a row, and what the last one was.
  int failures() const { return failures_ + busy_; }
  std::optional<EngineFault> last_fault() const { return last_fault_; }
  // Those that only said that it is full are left out, and all before its last ejection.
  const RecentEnds& recent() const { return recent_; }

  Era Start() {
    ++running_;
    return era_;
  }
  // The first token of a response has come: enough for a probe.
  void FirstToken(Era era, Seconds now);
  // Returns whether it counts.
  bool Succeeded(Era era, Seconds now);
  // `spare`: the pool can do without it. `outlier`: its error rate is too high.
  void Failed(Era era, EngineFault fault, bool spare, bool outlier, const EjectionOptions& options,
              Seconds now);
  // The endpoint asked to get nothing until then; a failure follows.
  void AskedForRest(Seconds until) { asked_until_ = std::max(asked_until_, until); }
  // The request ended without a verdict.
  void Left(Era era);
  // Its time is over.
  void Advance(Seconds now);
  // It was started anew: an ejected one gets its probe at once.
  void Restarted();
  // The pool cannot do without it.
  void Release();

 private:
  bool AdmitsOnTrial() const {
    return (state_ == State::kProbing && running_ == 0) ||
           (state_ == State::kSlowStart && running_ < limit_);
  }
  // False if the request was sent in an earlier era.
  bool End(Era era);
  void Enter(State state, Seconds until);
  void BeginEra();
  void Eject(EngineFault fault, const EjectionOptions& options, Seconds now);
  void Readmit(Seconds now);
  void BeginSlowStart(Seconds now);
  void EndRest(Seconds now);

  // First what each request changes.
  State state_ = State::kClosed;
  Era era_ = 0;
  int running_ = 0;   // Requests of this era.
  int failures_ = 0;  // In a row, …
  int busy_ = 0;      // … and those that only said that it is full.
  RecentEnds recent_;

  int limit_ = 0;        // Of requests of this era, in slow start.
  int ejections_ = 0;    // One after the other.
  Seconds backoff_ = 0;  // Of the last one.
  Seconds readmitted_ = 0;
  Seconds asked_until_ = 0;  // It rests until then, if it rests.
  Seconds until_ = kNever;
  bool slow_start_waits_ = false;  // It rests, and was in slow start.
  std::optional<EngineFault> last_fault_;
};

std::string_view ToString(CircuitBreaker::State state);

}  // namespace headrace::fleet
