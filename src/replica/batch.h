// What replicas of the router tell each other, and how it is written.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "fleet/journal.h"
#include "slo/slo.h"

namespace headrace::replica {

// Ages are as of the moment at which the batch was made: clocks of machines are not compared.

struct Started {
  std::uint64_t serial = 0;  // Names the request for as long as its replica runs.
  fleet::EndpointKey endpoint = 0;
  Seconds age = 0;     // Since it was sent to the endpoint; …
  Seconds waited = 0;  // … from its arrival to then.
  Tokens prompt_tokens = 1;
  Tokens output_tokens = 1;  // Expected.
  Tokens most_tokens = 1;
  bool exact = false;  // output_tokens is known.
  bool reports_first_token = false;
  int standing = 0;
  fleet::Load share = 0;
  slo::Slo slo;  // Latencies; none where it has no SLO.

  bool operator==(const Started&) const = default;
};

struct FirstToken {
  std::uint64_t serial = 0;
  Seconds age = 0;

  bool operator==(const FirstToken&) const = default;
};

struct Progressed {
  std::uint64_t serial = 0;
  Tokens generated = 0;

  bool operator==(const Progressed&) const = default;
};

struct Ended {
  std::uint64_t serial = 0;
  Tokens prompt_tokens = 0;
  Tokens output_tokens = 0;  // 0: it failed or was cancelled, and teaches nothing.
  Seconds e2e = 0;           // From its dispatch to its last token.

  bool operator==(const Ended&) const = default;
};

using Event = std::variant<Started, FirstToken, Progressed, Ended>;

// scheduler::QueueState, with ages.
struct Queue {
  std::uint64_t waiting = 0;    // Requests that may still be in time.
  std::uint64_t endpoints = 0;  // That the replica would send to.
  struct Head {
    int standing = 0;
    std::uint32_t kind = 0;
    Seconds age = 0;  // Since it arrived.

    bool operator==(const Head&) const = default;
  };
  std::vector<Head> heads;

  bool operator==(const Queue&) const = default;
};

// What a replica has let through of an API key: of its requests and tokens ever, and now.
struct KeySpending {
  std::string name;
  std::int64_t requests = 0;
  std::int64_t tokens = 0;
  std::int64_t in_flight = 0;

  bool operator==(const KeySpending&) const = default;
};

// A process that routes. The one that follows it under its name has a higher incarnation.
struct Identity {
  std::string name;
  std::uint64_t incarnation = 0;

  auto operator<=>(const Identity&) const = default;
};

// The news of one pool from one replica; or, with a pool of no name, of its API keys.
struct Batch {
  Identity from;
  std::string pool;
  std::uint64_t sequence = 0;  // Counts this replica's batches of the pool, from 1.
  Queue queue;                 // As it is now.
  std::vector<Event> events;   // What happened since the last batch, in order.
  // Now and then: everything that runs, as Started, FirstToken and Progressed. What is not in it
  // has ended.
  bool whole = false;
  std::vector<Event> state;
  bool leaves = false;            // The replica stops: nothing runs any more.
  std::vector<KeySpending> keys;  // In a batch of no pool.

  bool operator==(const Batch&) const = default;
};

// Compact, and the same on every machine: some 30 bytes for a start, 5 to 12 for the others. Times
// are rounded to 10 µs, those of an SLO to 1 µs.
std::string Encode(const Batch& batch);
// Whatever the bytes are; numbers that no request can have are brought into bounds. An error is a
// phrase: what is wrong with them.
Result<Batch> Decode(std::string_view bytes);

}  // namespace headrace::replica
