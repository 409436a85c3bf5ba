#include "serving/replica_feed.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>

#include "system/clock.h"

namespace headrace::serving {
namespace {

constexpr const char* kCause = "replicas";
constexpr const char* kUnreadable = "batches of replicas";
// To connect, and for each answer: what happens meanwhile is told later.
constexpr Seconds kTimeout = 0.5;
constexpr Seconds kRetry = 1;
// By then everybody has told a whole state.
constexpr Seconds kAllAreHeard = 1.5 * replica::Outbox::kWholeEvery;
constexpr Seconds kStatusEvery = 0.2;
// A replica that cannot be read is gone when it was silent for so long.
constexpr Seconds kUnreadableFor = 10 * replica::Outbox::kWholeEvery;
constexpr std::string_view kChannels = "headrace:replicas:";

// The host and the process; in a container that is restarted, the same as before.
replica::Identity MakeIdentity() {
  static std::atomic<int> feeds = 0;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host = {'?'};
  std::string name = std::string(host.data()) + "/" + std::to_string(::getpid());
  if (const int feed = feeds++; feed > 0) name += "." + std::to_string(feed);
  return {std::move(name), static_cast<std::uint64_t>(system::UnixNow() * 1e6)};
}

std::string PartsText(int replicas) {
  if (replicas == 1) return "no other replica was known, so the engines are taken to be its own";
  return "with 1/" + std::to_string(replicas) + " of the engines' capacity";
}

}  // namespace

ReplicaFeed::Shared::Shared(std::shared_ptr<Pool> its_pool, const replica::Identity& self,
                            telemetry::MetricsRegistry& registry)
    : pool(std::move(its_pool)),
      outbox(self, pool->name()),
      merger(self),
      metrics(registry, pool->name()) {
  pool->router().KeepJournal(true);
}

ReplicaFeed::ReplicaFeed(const Pools& pools, ClientKeys& keys, telemetry::StandingFaults& faults,
                         telemetry::MetricsRegistry& registry)
    : pools_(pools),
      keys_(keys),
      faults_(faults),
      registry_(registry),
      self_(MakeIdentity()),
      thread_([this] { Run(); }) {}

ReplicaFeed::~ReplicaFeed() {
  {
    const system::MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void ReplicaFeed::SetConfig(const config::Config& config) {
  const bool share = config.replicas.share && config.redis;
  const system::MutexLock lock(mutex_);
  // Before there are requests: one that begins before this is never told.
  for (const auto& pool : pools_.list()) {
    if (share) pool->router().KeepJournal(true);
  }
  settings_ = {.redis = share ? config.redis : std::nullopt, .options = config.replicas};
  changed_.NotifyAll();
}

std::optional<ReplicaStatus> ReplicaFeed::Status() const {
  const system::MutexLock lock(mutex_);
  return status_;
}

// --- The thread

void ReplicaFeed::Run() {
  for (;;) {
    Settings settings;
    {
      const system::MutexLock lock(mutex_);
      while (!stopping_ && !settings_.redis) {
        // Also of pools that were to be shared for too short a time to be seen here: nobody takes
        // what they write down.
        for (const auto& pool : pools_.list()) pool->router().KeepJournal(false);
        changed_.Wait(mutex_);
      }
      if (stopping_) break;
      settings = settings_;
    }
    Share(settings);
    const system::MutexLock lock(mutex_);
    if (settings_.redis) continue;
    // What runs is remembered only from one setting to the next.
    for (auto& [name, shared] : shared_) End(shared);
    shared_.clear();
    status_.reset();
  }
  for (auto& [name, shared] : shared_) End(shared);
}

bool ReplicaFeed::Goes(const Settings& settings) const {
  const system::MutexLock lock(mutex_);
  return !stopping_ && settings_ == settings;
}

// Until the settings change, or the end.
void ReplicaFeed::Share(const Settings& settings) {
  channel_ = std::string(kChannels) + settings.options.group;
  metrics_.emplace(registry_);
  Link link(settings, kTimeout);
  link.since = -kNever;
  Seconds next_tell = 0;
  Seconds next_status = 0;
  while (Goes(settings)) {
    Seconds now = system::MonotonicNow();
    if (now >= next_tell) {
      next_tell = now + settings.options.interval;
      FollowPools();
      for (auto& [name, shared] : shared_) {
        const auto [journal, queue] = shared.pool->router().TakeJournal();
        shared.outbox.Add(journal, queue);
        shared.merger.SetTurnLength(replica::TurnLength(settings.options.interval));
      }
      if (!link.up && now - link.since >= kRetry) {
        const auto listens = link.listener.Listen(channel_);
        now = link.since = system::MonotonicNow();
        link.unheard = kNever;
        if (listens) {
          link.up = true;
        } else {
          Lose(link, listens.error(), now);
        }
      }
      if (link.up) {
        if (const auto told = Tell(link, now); !told) Lose(link, told.error(), now);
      }
      if (!link.up) {
        for (auto& [name, shared] : shared_) shared.outbox.Hush();
      }
    }
    const Seconds patience = std::max(0.0, next_tell - system::MonotonicNow());
    if (link.up) {
      const auto messages = link.listener.TakeMessages(patience);
      now = system::MonotonicNow();
      if (messages) {
        Hear(link, *messages, now);
      } else {
        Lose(link, messages.error(), now);
      }
    } else {
      const system::MutexLock lock(mutex_);
      if (!stopping_) changed_.WaitFor(mutex_, patience);
    }
    // Else nobody would be heard, and all the capacity taken for this one's.
    if (link.up && now - link.unheard > replica::Merger::kSilence) {
      Lose(link,
           {settings.redis->Name() +
            ": Redis takes messages and delivers none; see that nothing between cuts connections."},
           now);
    }
    for (auto& [name, shared] : shared_) shared.pool->router().Age(shared.merger);
    keys_.ForgetSilent(replica::Merger::kSilence, now);
    TakeParts(link, now);
    if (now < next_status) continue;
    next_status = now + kStatusEvery;
    Report(link, now);
  }
  // Whoever does not get this, notices in a while.
  for (auto& [name, shared] : shared_) farewell_.push_back(Encode(shared.outbox.Leave()));
  if (link.up) (void)link.speaker.Publish(channel_, farewell_);
  farewell_.clear();
  for (auto& [name, shared] : shared_) {
    Forget(shared);
    shared.outbox.Hush();
  }
  keys_.ForgetSilent(0, system::MonotonicNow());
  keys_.SetParts(1, system::MonotonicNow());
  metrics_.reset();
  constexpr std::string_view kOver = "nothing is shared with these replicas any more";
  for (const char* cause : {kCause, kUnreadable}) {
    faults_.Clear(cause, kOver, system::MonotonicNow());
  }
}

void ReplicaFeed::FollowPools() {
  const PoolList pools = pools_.list();
  for (auto entry = shared_.begin(); entry != shared_.end();) {
    if (std::ranges::find(pools, entry->second.pool) != pools.end()) {
      ++entry;
      continue;
    }
    farewell_.push_back(Encode(entry->second.outbox.Leave()));
    End(entry->second);
    entry = shared_.erase(entry);
  }
  for (const std::shared_ptr<Pool>& pool : pools) {
    shared_.try_emplace(pool->name(), pool, self_, registry_);
  }
}

void ReplicaFeed::Forget(Shared& shared) {
  shared.merger.LoseAll();
  shared.pool->router().Age(shared.merger);
  shared.replicas = shared.parts = 1;
  shared.pool->router().SetReplicas(1);
}

void ReplicaFeed::End(Shared& shared) {
  Forget(shared);
  shared.pool->router().KeepJournal(false);
}

Result<void> ReplicaFeed::Tell(Link& link, Seconds now) {
  std::vector<std::string> batches = std::exchange(farewell_, {});
  for (auto& [name, shared] : shared_) {
    const auto batch = shared.outbox.Next(now);
    if (!batch) continue;
    batches.push_back(Encode(*batch));
    if (batch->whole) {
      shared.timed = batch->sequence;
      shared.sent = now;
    }
  }
  if (const auto keys = KeysToTell(now)) batches.push_back(Encode(*keys));
  if (batches.empty()) return {};
  link.unheard = std::min(link.unheard, now);
  return link.speaker.Publish(channel_, batches);
}

std::optional<replica::Batch> ReplicaFeed::KeysToTell(Seconds now) {
  const bool all = now >= next_all_keys_;
  if (all) next_all_keys_ = now + replica::Outbox::kWholeEvery;
  const auto spendings = keys_.TakeSpending(all);
  if (spendings.empty() && !(all && keys_.required())) return std::nullopt;
  replica::Batch batch{.from = self_, .sequence = ++key_batches_, .whole = all};
  for (const access::KeySpending& key : spendings) {
    batch.keys.push_back({key.name, key.requests, key.tokens, key.in_flight});
  }
  return batch;
}

void ReplicaFeed::Hear(Link& link, std::span<const std::string> messages, Seconds now) {
  for (const std::string& message : messages) {
    const auto batch = replica::Decode(message);
    if (!batch) {
      unreadable_ = now;
      faults_.Raise(telemetry::LogLevel::kWarning, kUnreadable,
                    "what another replica tells cannot be read: " + batch.error().message +
                        "; give replicas of different versions different groups",
                    now);
      continue;
    }
    const bool own = batch->from == self_;
    if (own) link.unheard = kNever;
    if (!own && batch->pool.empty()) {
      std::vector<access::KeySpending> spendings;
      for (const replica::KeySpending& key : batch->keys) {
        spendings.push_back({key.name, key.requests, key.tokens, static_cast<int>(key.in_flight)});
      }
      keys_.Hear(batch->from.name + " " + std::to_string(batch->from.incarnation), spendings,
                 batch->whole, now);
    }
    const auto found = shared_.find(batch->pool);
    if (found == shared_.end()) continue;
    Shared& shared = found->second;
    if (own && batch->sequence == shared.timed) {
      lag_ = now - shared.sent;
      metrics_->lag_seconds.Observe(lag_);
    }
    shared.pool->router().Merge(shared.merger, *batch);
    if (shared.merger.TakeNewcomer()) shared.outbox.SayAll();
  }
}

void ReplicaFeed::TakeParts(const Link& link, Seconds now) {
  int most = 1;
  for (auto& [name, shared] : shared_) {
    const int heard = shared.merger.replicas();
    // After an outage the others are heard one by one.
    const bool all = link.up && (heard >= shared.replicas || now - link.since >= kAllAreHeard);
    if (all) shared.replicas = heard;
    const int parts = all ? 1 : shared.replicas;
    most = std::max(most, parts);
    if (parts == shared.parts) continue;
    shared.parts = parts;
    shared.pool->router().SetReplicas(parts);
  }
  keys_.SetParts(most, now);
}

void ReplicaFeed::Lose(Link& link, const Error& error, Seconds now) {
  link.up = false;
  link.since = now;
  keys_.ForgetSilent(0, now);
  int replicas = 1;
  for (auto& [name, shared] : shared_) {
    shared.merger.LoseAll();
    replicas = std::max(replicas, shared.replicas);
  }
  faults_.Raise(telemetry::LogLevel::kWarning, kCause,
                error.message + " This replica goes on alone, " + PartsText(replicas) + ".", now);
}

void ReplicaFeed::Report(const Link& link, Seconds now) {
  ReplicaStatus status{.name = self_.name,
                       .group = channel_.substr(kChannels.size()),
                       .connected = link.up,
                       .lag = lag_};
  metrics_->connected.Set(link.up ? 1 : 0);
  for (auto& [name, shared] : shared_) {
    ReplicaStatus::PoolStatus& pool = status.pools.emplace_back();
    pool = {.pool = name, .replicas = shared.replicas, .missed = shared.merger.missed()};
    for (const replica::Merger::Peer& peer : shared.merger.peers()) {
      if (!peer.lost) {
        pool.peers.push_back({peer.identity.name, now - peer.heard, peer.running.size()});
      }
    }
    shared.metrics.replicas.Set(shared.replicas);
    const auto missed = static_cast<double>(shared.merger.missed());
    shared.metrics.missed.Add(missed - shared.counted);
    shared.counted = missed;
  }
  if (link.up) faults_.Clear(kCause, "replicas hear each other again", now);
  if (now - unreadable_ > kUnreadableFor) {
    faults_.Clear(kUnreadable, "all that other replicas tell can be read again", now);
  }
  const system::MutexLock lock(mutex_);
  status_ = std::move(status);
}

}  // namespace headrace::serving
