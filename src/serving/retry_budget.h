// How many requests of a pool are tried again at a time.
#pragma once

#include <algorithm>
#include <atomic>

namespace headrace::serving {

struct RetryOptions {
  int most = 2;         // Further endpoints that one request is sent to; 0: none.
  double budget = 0.2;  // Of the requests that wait or run: so many may be retries.
};

// A share of the requests under way, as Envoy's retry budget: where engines fail because they are
// overloaded, retries must not become most of their load. A retry counts until its answer begins.
// Thread-safe.
class RetryBudget {
 public:
  // However few requests are under way, so many may be retries.
  static constexpr int kLeast = 10;

  void SetOptions(const RetryOptions& options) {
    most_ = options.most;
    budget_ = options.budget;
  }
  int most() const { return most_; }

  void Arrived() { ++open_; }
  void Ended() { --open_; }

  // False if the budget is used up.
  bool Take() {
    const int limit = std::max(kLeast, static_cast<int>(budget_ * open_));
    int taken = taken_;
    while (taken < limit) {
      if (taken_.compare_exchange_weak(taken, taken + 1)) return true;
    }
    return false;
  }
  void GiveBack() { --taken_; }
  int taken() const { return taken_; }

 private:
  std::atomic<int> most_{RetryOptions{}.most};
  std::atomic<double> budget_{RetryOptions{}.budget};
  std::atomic<int> open_{0};
  std::atomic<int> taken_{0};
};

}  // namespace headrace::serving
