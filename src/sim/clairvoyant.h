// A baseline that no router can be: it knows every response's length and each engine's future.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/units.h"
#include "engine/timed_engine.h"
#include "slo/slo.h"

namespace headrace::sim {

// Sends each request, the moment it comes, where it costs the fewest missed SLOs, its own and those
// of the requests already there, found by running a copy of each engine to its end; among equal
// ones, where it costs the least time over all of them. A request that costs a miss everywhere is
// refused. It does not know what will arrive, so it is no upper bound, but it is achievable: by a
// router with perfect lengths and an exact step model.
class Clairvoyant {
 public:
  struct Request {
    Seconds arrived = 0;
    std::optional<Seconds> first_token;  // Where it has come.
    Tokens prompt_tokens = 1;
    Tokens output_tokens = 1;
    Tokens cached_tokens = 0;
    const slo::Slo* slo = nullptr;  // Null: it cannot miss.
  };
  // What is known of the request with this tag, which runs on an engine or is the new one.
  using Lookup = std::function<Request(std::uint64_t tag)>;

  Clairvoyant(std::size_t engines, Lookup lookup) : plans_(engines), lookup_(std::move(lookup)) {}

  // `engines` by index, null = not available; each must have been advanced to `now`.
  std::optional<std::size_t> Choose(std::span<const engine::TimedEngine* const> engines,
                                    std::uint64_t tag, Seconds now);
  // A request that Choose had sent to the engine has finished.
  void Finished(std::size_t engine, std::uint64_t tag, Seconds now);
  // Something else happened to the engine: its future is another one.
  void Changed(std::size_t engine) { plans_[engine].reset(); }

 private:
  // The future of the requests on an engine.
  struct Plan {
    std::int64_t misses = 0;
    double finish_times = 0;  // Their sum.
  };

  Plan Foresee(engine::TimedEngine engine);
  bool Misses(const Request& request, Seconds finish) const;

  std::vector<std::optional<Plan>> plans_;  // Null: to be found out.
  Lookup lookup_;
  std::vector<std::pair<std::uint64_t, Seconds>> first_tokens_;  // Of the future looked at.
};

}  // namespace headrace::sim
