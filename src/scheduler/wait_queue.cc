#include "scheduler/wait_queue.h"

#include <algorithm>
#include <cassert>
#include <tuple>

namespace headrace::scheduler {
namespace {

bool Before(const WaitQueue::Head& a, const WaitQueue::Head& b) {
  return std::tie(b.standing, a.deadline, a.key) < std::tie(a.standing, b.deadline, b.key);
}

}  // namespace

std::size_t WaitQueue::size(int standing) const {
  std::size_t size = 0;
  for (const Band& band : bands_) size += band.standing >= standing ? band.size : 0;
  return size;
}

bool WaitQueue::HasWaiting(Lane lane) const {
  const auto band = std::ranges::find(bands_, lane.standing, &Band::standing);
  return band != bands_.end() && lane.key < band->queues.size() &&
         band->queues[lane.key].first != kNone;
}

Slot WaitQueue::last_slot() const {
  const Link& link = links_[heads_.back().slot];
  return bands_[link.band].queues[link.key].last;
}

std::uint32_t WaitQueue::FindOrAddBand(int standing) {
  const auto band = std::ranges::find(bands_, standing, &Band::standing);
  const auto place = static_cast<std::uint32_t>(band - bands_.begin());
  if (band == bands_.end()) bands_.push_back({.standing = standing});
  return place;
}

void WaitQueue::Insert(Slot slot, Lane lane, Seconds deadline, bool front) {
  if (slot >= links_.size()) links_.resize(slot + 1);
  Link& link = links_[slot];
  assert(!link.queued);
  const std::uint32_t band = FindOrAddBand(lane.standing);
  auto& queues = bands_[band].queues;
  if (lane.key >= queues.size()) queues.resize(lane.key + 1);
  Queue& queue = queues[lane.key];
  const bool becomes_head = front || queue.first == kNone;
  if (becomes_head && queue.first != kNone) DropHead(links_[queue.first]);
  link = {.previous = front ? kNone : queue.last,
          .next = front ? queue.first : kNone,
          .band = band,
          .key = lane.key,
          .deadline = deadline,
          .queued = true};
  Slot& before = link.previous == kNone ? queue.first : links_[queue.last].next;
  Slot& after = link.next == kNone ? queue.last : links_[queue.first].previous;
  before = slot;
  after = slot;
  Count(link, 1);
  deadlines_.Set(slot, deadline);
  if (becomes_head) AddHead(link);
}

void WaitQueue::Count(const Link& link, int change) {
  const auto by = static_cast<std::size_t>(change);
  Band& band = bands_[link.band];
  band.queues[link.key].length += by;
  band.size += by;
  size_ += by;
}

std::size_t WaitQueue::Remove(Slot slot) {
  assert(Contains(slot));
  Link& link = links_[slot];
  Queue& queue = QueueOf(link);
  const bool was_head = queue.first == slot;
  if (was_head) DropHead(link);
  (link.previous == kNone ? queue.first : links_[link.previous].next) = link.next;
  (link.next == kNone ? queue.last : links_[link.next].previous) = link.previous;
  link.queued = false;
  Count(link, -1);
  deadlines_.Erase(slot);
  return was_head && queue.first != kNone ? AddHead(link) : heads_.size();
}

std::size_t WaitQueue::SetDeadline(Slot slot, Seconds deadline) {
  assert(Contains(slot));
  Link& link = links_[slot];
  const bool is_head = QueueOf(link).first == slot;
  if (is_head) DropHead(link);
  link.deadline = deadline;
  deadlines_.Set(slot, deadline);
  return is_head ? AddHead(link) : heads_.size();
}

// That of the link's sub-queue.
WaitQueue::Head WaitQueue::HeadOf(const Link& link) const {
  const Band& band = bands_[link.band];
  const Slot slot = band.queues[link.key].first;
  return {band.standing, links_[slot].deadline, link.key, slot};
}

void WaitQueue::DropHead(const Link& link) {
  const Head head = HeadOf(link);
  heads_.erase(std::lower_bound(heads_.begin(), heads_.end(), head, Before));
}

std::size_t WaitQueue::AddHead(const Link& link) {
  const Head head = HeadOf(link);
  const auto place =
      heads_.insert(std::lower_bound(heads_.begin(), heads_.end(), head, Before), head);
  return static_cast<std::size_t>(place - heads_.begin());
}

std::vector<WaitQueue::SubQueue> WaitQueue::SubQueues() const {
  std::vector<SubQueue> result;
  for (const Head& head : heads_) {
    const Link& link = links_[head.slot];
    result.push_back({head.key, bands_[link.band].queues[link.key].length});
  }
  std::sort(result.begin(), result.end(), [](auto& a, auto& b) { return a.key < b.key; });
  return result;
}

}  // namespace headrace::scheduler
