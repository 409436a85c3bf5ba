// Tells other replicas of the router, through Redis, what this one does, and hears of theirs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "config/config.h"
#include "replica/merger.h"
#include "replica/outbox.h"
#include "serving/client_keys.h"
#include "serving/pool.h"
#include "store/redis.h"
#include "system/mutex.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// What is known of the others, for status pages.
struct ReplicaStatus {
  struct Peer {
    std::string name;
    Seconds silent = 0;       // Since it was last heard.
    std::size_t running = 0;  // Its requests.
  };
  struct PoolStatus {
    std::string pool;
    int replicas = 1;  // That serve it, this one included; while none can be heard, as last known.
    std::uint64_t missed = 0;  // Batches.
    std::vector<Peer> peers = {};
  };
  std::string name;        // This one's.
  std::string group;       // That it shares with.
  bool connected = false;  // Else each goes on alone, with its part of the capacity.
  Seconds lag = 0;         // Of its own last batch that was timed, through Redis and back.
  std::vector<PoolStatus> pools = {};
};

// On its own thread, so that a slow Redis delays no request. Every `interval` it publishes one
// batch for each pool with news, and what others publish it merges as it comes. While Redis is
// away, each replica goes on alone with its part of the capacity and of the keys' limits: one nth
// for the last known n.
// Thread-safe.
class ReplicaFeed {
 public:
  // What is passed in must outlive the feed.
  ReplicaFeed(const Pools& pools, ClientKeys& keys, telemetry::StandingFaults& faults,
              telemetry::MetricsRegistry& registry);
  // Tells the others that this one has stopped.
  ~ReplicaFeed();

  // From now on. Without a Redis, or if it is not to share, this replica is on its own.
  void SetConfig(const config::Config& config);
  // nullopt: it shares with nobody.
  std::optional<ReplicaStatus> Status() const;

 private:
  struct Settings {
    std::optional<store::RedisUrl> redis;  // nullopt: nothing is shared.
    config::ReplicasConfig options;
    bool operator==(const Settings&) const = default;
  };
  // What is shared of one pool. Of the feed's thread.
  struct Shared {
    Shared(std::shared_ptr<Pool> its_pool, const replica::Identity& self,
           telemetry::MetricsRegistry& registry);

    std::shared_ptr<Pool> pool;
    replica::Outbox outbox;
    replica::Merger merger;
    telemetry::ReplicaPoolMetrics metrics;
    int replicas = 1;         // As last known while they could be heard.
    int parts = 1;            // What the router was told: SetReplicas.
    double counted = 0;       // Of Merger::missed.
    std::uint64_t timed = 0;  // A batch that is on its way through Redis, …
    Seconds sent = 0;         // … since then.
  };
  // Both ways. Each needs a connection of its own.
  struct Link {
    Link(const Settings& settings, Seconds timeout)
        : speaker(*settings.redis, timeout), listener(*settings.redis, timeout) {}
    store::Redis speaker;
    store::Redis listener;
    bool up = false;
    Seconds since = 0;         // It is up, or was last tried.
    Seconds unheard = kNever;  // Since then what was said has not come back; kNever: it has.
  };

  void Run();
  void Share(const Settings& settings);
  bool Goes(const Settings& settings) const;
  void FollowPools();
  // Those who were heard.
  static void Forget(Shared& shared);
  static void End(Shared& shared);
  // False if they could not be told.
  Result<void> Tell(Link& link, Seconds now);
  void Hear(Link& link, std::span<const std::string> messages, Seconds now);
  // How much of the capacity is this replica's.
  void TakeParts(const Link& link, Seconds now);
  // What the API keys have spent here; everything, now and then.
  std::optional<replica::Batch> KeysToTell(Seconds now);
  void Lose(Link& link, const Error& error, Seconds now);
  void Report(const Link& link, Seconds now);

  const Pools& pools_;
  ClientKeys& keys_;
  telemetry::StandingFaults& faults_;
  telemetry::MetricsRegistry& registry_;
  const replica::Identity self_;
  std::map<std::string, Shared> shared_;  // By pool. Of the thread, like those that follow.
  std::vector<std::string> farewell_;     // Of pools that are no longer served.
  std::uint64_t key_batches_ = 0;
  Seconds next_all_keys_ = 0;
  std::string channel_;
  std::optional<telemetry::ReplicaMetrics> metrics_;
  Seconds lag_ = 0;
  Seconds unreadable_ = -kNever;  // When something was last heard that could not be read.
  mutable system::Mutex mutex_;
  system::ConditionVariable changed_;
  bool stopping_ HEADRACE_GUARDED_BY(mutex_) = false;
  Settings settings_ HEADRACE_GUARDED_BY(mutex_);
  std::optional<ReplicaStatus> status_ HEADRACE_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace headrace::serving
