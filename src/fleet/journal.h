// What happened to a router's requests at their endpoints, written down to be told to others.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/units.h"
#include "fleet/load_model.h"
#include "slo/slo.h"

namespace headrace::fleet {

// Names an endpoint of a pool in every replica of the router, whatever its id there.
using EndpointKey = std::uint64_t;
inline EndpointKey KeyOf(std::string_view deployment, std::string_view address) {
  return HashOf(std::string(deployment).append(1, '\0').append(address));
}

// Nearly all entries are small; what a start has beyond them is beside them.
struct Journal {
  struct Started {
    EndpointKey endpoint = 0;
    Demand demand;
    slo::Slo slo;  // What demand.slo pointed to; no latency where there is none.
  };
  struct Entry {
    enum class Kind : std::uint8_t { kStart, kFirstToken, kProgress, kEnd };
    Kind kind = Kind::kStart;
    std::uint64_t serial = 0;  // Residence::serial.
    Seconds at = 0;
    Tokens generated = 0;   // Of kProgress.
    Completion completion;  // Of kEnd.
  };

  std::vector<Entry> entries;
  std::vector<Started> starts;  // One for each kStart, in their order.

  void Start(std::uint64_t serial, EndpointKey endpoint, const Demand& demand, Seconds at) {
    entries.push_back({.kind = Entry::Kind::kStart, .serial = serial, .at = at});
    starts.push_back({endpoint, demand, demand.slo != nullptr ? *demand.slo : slo::Slo{}});
    starts.back().demand.slo = nullptr;
  }
  void FirstToken(std::uint64_t serial, Seconds at) {
    entries.push_back({.kind = Entry::Kind::kFirstToken, .serial = serial, .at = at});
  }
  void Progress(std::uint64_t serial, Tokens generated, Seconds at) {
    entries.push_back(
        {.kind = Entry::Kind::kProgress, .serial = serial, .at = at, .generated = generated});
  }
  void End(std::uint64_t serial, const Completion& completion, Seconds at) {
    entries.push_back(
        {.kind = Entry::Kind::kEnd, .serial = serial, .at = at, .completion = completion});
  }
};

}  // namespace headrace::fleet
