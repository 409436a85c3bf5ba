// Looks names up while the program goes on.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "system/address.h"

namespace headrace::discovery {

// Every address of a name; system::ResolveAll outside of tests.
using Resolver =
    std::function<Result<std::vector<system::SocketAddress>>(const system::HostPort& name)>;

// The system's resolver blocks, at times for ever; so each look-up has a thread of its own, which
// nobody waits for. What was found stays known until a later look-up finds something else. Numbers
// are looked up at once, on the caller's thread. Thread-safe.
class NameResolver {
 public:
  // As often as CoreDNS, with its defaults, learns of a pod that comes or goes.
  static constexpr Seconds kInterval = 5;
  // Names that are looked up at a time; more wait for their turn.
  static constexpr int kMostThreads = 64;

  explicit NameResolver(Resolver resolver = system::ResolveAll, Seconds interval = kInterval);
  // Look-ups under way end by themselves.
  ~NameResolver();

  struct Answer {
    // Those of the last look-up that succeeded; empty: none has yet. What stays keeps its place:
    // resolvers list the same addresses in another order each time.
    std::vector<system::SocketAddress> addresses;
    // Of the last look-up, a sentence; empty if it succeeded.
    std::string fault;
  };
  // What is known of the name. Begins the next look-up if the last one is over and began
  // `interval` ago. `now` is the time on any monotonic clock.
  Answer Look(const system::HostPort& name, Seconds now);
  // Until no look-up is under way, for so long at most.
  void Wait(Seconds most);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace headrace::discovery
