// A baseline that no router can be: it knows every response's length and each engine's future.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/units.h"
#include "engine/timed_engine.h"
#include "sim/simulation.h"
#include "slo/slo.h"

namespace headrace::sim {

// Sends each request where it costs no missed SLO, neither its own nor one of the requests already
// there, found by running a copy of each engine to its end; among such engines, where it costs the
// least time over all of them. If there is none it waits, and is tried again whenever an engine
// gives a first or a last token; when it cannot be in time any more, it is refused. An engine with
// a request in its own line gets no other: the line is kept here, where it can be changed. It does
// not know what will arrive, so it is no upper bound, but it is achievable: by a router with
// perfect lengths and an exact step model.
class Clairvoyant {
 public:
  // In which order waiting requests are tried. The most urgent first saves the most while the fleet
  // can keep up; the cheapest first, when it cannot.
  enum class Order { kMostUrgent, kCheapest };

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

  Clairvoyant(std::span<const SimDeployment> fleet, std::size_t engines, Lookup lookup)
      : fleet_(fleet), plans_(engines), lookup_(std::move(lookup)) {}

  // Its place among those that wait, the lowest first.
  double Place(std::uint64_t tag, Order order) const {
    return order == Order::kMostUrgent ? LatestStart(tag) : Cost(tag);
  }
  // Until when it meets its SLO if it starts then on the engine that is best for it, alone.
  Seconds LatestStart(std::uint64_t tag) const;

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

  // About the time that it takes of an engine: its prefill and its share of the decode steps.
  Seconds Cost(std::uint64_t tag) const;
  Plan Foresee(engine::TimedEngine engine);
  bool Misses(const Request& request, Seconds finish) const;

  std::span<const SimDeployment> fleet_;
  std::vector<std::optional<Plan>> plans_;  // Null: to be found out.
  Lookup lookup_;
  std::vector<std::pair<std::uint64_t, Seconds>> first_tokens_;  // Of the future looked at.
};

}  // namespace headrace::sim
