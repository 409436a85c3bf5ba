#include "replica/merger.h"

#include <algorithm>

namespace headrace::replica {
namespace {

fleet::Demand DemandOf(const Started& started, Seconds at) {
  return {.arrived = at - started.waited,
          .prompt_tokens = started.prompt_tokens,
          .output_tokens = started.output_tokens,
          .target = slo::TargetOf(started.slo, started.prompt_tokens, started.output_tokens),
          .slo = started.slo.HasLatency() ? &started.slo : nullptr,
          .most_tokens = started.most_tokens,
          .reports_first_token = started.reports_first_token,
          .standing = started.standing,
          .share = started.share};
}

}  // namespace

Merger::Peer& Merger::PeerOf(const Identity& identity) {
  const auto known = std::ranges::find(peers_, identity, &Peer::identity);
  if (known != peers_.end()) return *known;
  for (Peer& peer : peers_) {
    // It has crashed and runs again. (If it is heard again, these are two processes under one name:
    // then both stay.)
    if (peer.identity.name == identity.name && peer.identity.incarnation < identity.incarnation) {
      peer.lost = true;
    }
  }
  newcomer_ = true;
  return peers_.emplace_back(Peer{.identity = identity});
}

bool Merger::Apply(const Batch& batch, std::size_t& at, scheduler::Scheduler& scheduler,
                   Seconds now, scheduler::Decisions& decisions) {
  if (batch.from == self_) {
    if (batch.whole && RankOf(self_) == 0) round_ = now;
    return true;
  }
  Peer& peer = PeerOf(batch.from);
  if (at == 0) {
    if (batch.sequence <= peer.sequence) return true;  // Doubled, or too late.
    if (peer.sequence > 0) missed_ += batch.sequence - peer.sequence - 1;
    peer.sequence = batch.sequence;
    peer.heard = now;
    peer.lost = batch.leaves;
    peer.waiting = batch.queue.waiting;
    peer.endpoints = batch.queue.endpoints;
    peer.heads.clear();
    for (const Queue::Head& head : batch.queue.heads) {
      peer.heads.push_back({head.standing, head.kind, now - head.age});
    }
    if (batch.whole && RankOf(batch.from) == 0) round_ = now;
  }
  const std::size_t all = batch.events.size() + batch.state.size();
  for (std::size_t left = kMostPerTurn; at < all && left > 0; ++at, --left) {
    const bool whole = at >= batch.events.size();
    const Event& event = whole ? batch.state[at - batch.events.size()] : batch.events[at];
    ApplyEvent(peer, event, whole ? batch.sequence : 0, scheduler, now);
  }
  if (at < all) return false;
  if (batch.whole) {
    std::erase_if(peer.running, [&](const auto& entry) {
      if (entry.second.told == batch.sequence) return false;
      Drop(entry.second, scheduler, now);
      return true;
    });
  }
  Conclude(scheduler, now, decisions);
  return true;
}

void Merger::ApplyEvent(Peer& peer, const Event& event, std::uint64_t whole,
                        scheduler::Scheduler& scheduler, Seconds now) {
  if (const auto* started = std::get_if<Started>(&event)) {
    Start(peer, *started, whole, scheduler, now);
    return;
  }
  const std::uint64_t serial = std::visit([](const auto& one) { return one.serial; }, event);
  const auto found = peer.running.find(serial);
  if (found == peer.running.end()) return;
  std::optional<scheduler::Scheduler::ForeignRequest>& request = found->second.request;
  if (const auto* first = std::get_if<FirstToken>(&event)) {
    if (request) scheduler.FirstTokenOfForeign(*request, now - first->age);
  } else if (const auto* progressed = std::get_if<Progressed>(&event)) {
    if (request) scheduler.ProgressOfForeign(*request, progressed->generated, now);
  } else if (const auto* ended = std::get_if<Ended>(&event)) {
    if (request) {
      scheduler.EndForeign(*request,
                           {.prompt_tokens = ended->prompt_tokens,
                            .output_tokens = ended->output_tokens,
                            .e2e = ended->e2e},
                           now);
    }
    peer.running.erase(found);
  }
}

void Merger::Start(Peer& peer, const Started& started, std::uint64_t whole,
                   scheduler::Scheduler& scheduler, Seconds now) {
  Peer::Running& running = peer.running[started.serial];
  running.told = std::max(running.told, whole);
  if (running.request) return;
  const auto endpoint = scheduler.fleet().FindEndpoint(started.endpoint);
  if (!endpoint) return;  // The next whole state tries again.
  const Seconds at = now - started.age;
  running.request = scheduler.StartForeign(*endpoint, DemandOf(started, at), started.exact, at);
  running.request->late = whole > 0;
}

void Merger::Drop(const Peer::Running& running, scheduler::Scheduler& scheduler, Seconds now) {
  if (running.request) scheduler.EndForeign(*running.request, {}, now);
}

bool Merger::Age(scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions) {
  std::size_t left = kMostPerTurn;
  bool any = false;
  for (Peer& peer : peers_) {
    if (now - peer.heard > kSilence) peer.lost = true;
    if (!peer.lost) continue;
    any = true;
    while (!peer.running.empty() && left > 0) {
      Drop(peer.running.begin()->second, scheduler, now);
      peer.running.erase(peer.running.begin());
      --left;
    }
  }
  if (!any) return true;
  std::erase_if(peers_, [](const Peer& peer) { return peer.lost && peer.running.empty(); });
  if (std::ranges::any_of(peers_, &Peer::lost)) return false;
  Conclude(scheduler, now, decisions);
  return true;
}

bool Merger::AnyGone(Seconds now) const {
  return std::ranges::any_of(
      peers_, [&](const Peer& peer) { return peer.lost || now - peer.heard > kSilence; });
}

void Merger::LoseAll() {
  for (Peer& peer : peers_) peer.lost = true;
}

int Merger::RankOf(const Identity& identity) const {
  const bool self_first = self_ < identity;
  return static_cast<int>(std::ranges::count_if(
             peers_, [&](const Peer& peer) { return !peer.lost && peer.identity < identity; })) +
         (self_first ? 1 : 0);
}

int Merger::replicas() const {
  return 1 + static_cast<int>(std::ranges::count(peers_, false, &Peer::lost));
}

void Merger::Conclude(scheduler::Scheduler& scheduler, Seconds now,
                      scheduler::Decisions& decisions) {
  constexpr std::uint64_t kMost = 1'000'000'000;  // Whatever somebody says.
  const auto endpoints =
      static_cast<std::uint64_t>(scheduler.fleet().up() - scheduler.fleet().out());
  std::uint64_t waiting = 0;
  std::vector<scheduler::WaitingHead> heads;
  for (const Peer& peer : peers_) {
    if (peer.lost) continue;
    waiting += std::min(peer.waiting, kMost);
    // Who reaches fewer endpoints must not hold up what can go to the others.
    if (peer.endpoints < endpoints) continue;
    heads.insert(heads.end(), peer.heads.begin(), peer.heads.end());
  }
  scheduler.SetForeignQueues(waiting, heads);
  scheduler.SetTurns(
      {.index = RankOf(self_), .count = replicas(), .length = turn_length_, .offset = -round_});
  scheduler.HeardOfOthers(now, decisions);
}

}  // namespace headrace::replica
