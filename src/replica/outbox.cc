#include "replica/outbox.h"

namespace headrace::replica {
namespace {

Started StartedOf(std::uint64_t serial, const fleet::Journal::Started& started, Seconds at) {
  const fleet::Demand& demand = started.demand;
  return {.serial = serial,
          .endpoint = started.endpoint,
          .age = at,
          .waited = at - demand.arrived,
          .prompt_tokens = demand.prompt_tokens,
          .output_tokens = demand.output_tokens,
          .most_tokens = demand.most_tokens,
          .exact = demand.lengths == nullptr,
          .reports_first_token = demand.reports_first_token,
          .standing = demand.standing,
          .share = demand.share,
          .slo = started.slo};
}

// From a time to an age.
void MakeOld(Event& event, Seconds now) {
  if (auto* started = std::get_if<Started>(&event)) started->age = now - started->age;
  if (auto* first = std::get_if<FirstToken>(&event)) first->age = now - first->age;
}

}  // namespace

void Outbox::Add(const fleet::Journal& journal, scheduler::QueueState queue) {
  told_queue_ = told_queue_ && queue == queue_;
  queue_ = std::move(queue);
  using Kind = fleet::Journal::Entry::Kind;
  auto start = journal.starts.begin();
  for (const fleet::Journal::Entry& entry : journal.entries) {
    if (entry.kind == Kind::kStart) {
      Started started = StartedOf(entry.serial, *start++, entry.at);
      running_[entry.serial].started = started;
      pending_.emplace_back(std::move(started));
      continue;
    }
    const auto found = running_.find(entry.serial);
    if (found == running_.end()) continue;  // It began before the journal was kept.
    switch (entry.kind) {
      case Kind::kFirstToken:
        found->second.first_token = entry.at;
        pending_.emplace_back(FirstToken{entry.serial, entry.at});
        break;
      case Kind::kProgress:
        // Too many to tell each; forecasts count on between whole states.
        found->second.generated = entry.generated;
        break;
      case Kind::kEnd:
        pending_.emplace_back(Ended{entry.serial, entry.completion.prompt_tokens,
                                    entry.completion.output_tokens, entry.completion.e2e});
        running_.erase(found);
        break;
      case Kind::kStart:
        break;
    }
  }
}

Batch Outbox::NewBatch() { return {.from = self_, .pool = pool_, .sequence = ++sequence_}; }

std::optional<Batch> Outbox::Next(Seconds now) {
  if (pending_.empty() && told_queue_ && now < next_whole_) return std::nullopt;
  Batch batch = NewBatch();
  batch.queue = {.waiting = queue_.in_time,
                 .endpoints = static_cast<std::uint64_t>(queue_.endpoints)};
  for (const scheduler::WaitingHead& head : queue_.heads) {
    batch.queue.heads.push_back({head.standing, head.kind, now - head.arrived});
  }
  told_queue_ = true;
  batch.events = std::exchange(pending_, {});
  for (Event& event : batch.events) MakeOld(event, now);
  if (now < next_whole_) return batch;
  next_whole_ = now + kWholeEvery;
  batch.whole = true;
  batch.state.reserve(2 * running_.size());
  for (const auto& [serial, running] : running_) {
    MakeOld(batch.state.emplace_back(running.started), now);
    if (!running.first_token) continue;
    MakeOld(batch.state.emplace_back(FirstToken{serial, *running.first_token}), now);
    if (running.generated > 0) batch.state.emplace_back(Progressed{serial, running.generated});
  }
  return batch;
}

void Outbox::Hush() {
  pending_.clear();
  SayAll();
}

Batch Outbox::Leave() {
  Batch batch = NewBatch();
  batch.leaves = true;
  return batch;
}

}  // namespace headrace::replica
