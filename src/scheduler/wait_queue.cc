#include "scheduler/wait_queue.h"

#include <algorithm>
#include <cassert>
#include <tuple>

namespace headrace::scheduler {
namespace {

bool Before(const WaitQueue::Head& a, const WaitQueue::Head& b) {
  return std::tie(a.deadline, a.key) < std::tie(b.deadline, b.key);
}

}  // namespace

void WaitQueue::Insert(Slot slot, Key key, Seconds deadline, bool front) {
  if (slot >= links_.size()) links_.resize(slot + 1);
  assert(!links_[slot].queued);
  if (key >= queues_.size()) queues_.resize(key + 1);
  Queue& queue = queues_[key];
  const bool becomes_head = front || queue.first == kNone;
  if (becomes_head && queue.first != kNone) DropHead(key);
  links_[slot] = {.previous = front ? kNone : queue.last,
                  .next = front ? queue.first : kNone,
                  .key = key,
                  .deadline = deadline,
                  .queued = true};
  Slot& before = links_[slot].previous == kNone ? queue.first : links_[queue.last].next;
  Slot& after = links_[slot].next == kNone ? queue.last : links_[queue.first].previous;
  before = slot;
  after = slot;
  ++queue.length;
  ++size_;
  deadlines_.Set(slot, deadline);
  if (becomes_head) AddHead(key);
}

std::size_t WaitQueue::Remove(Slot slot) {
  assert(Contains(slot));
  Link& link = links_[slot];
  Queue& queue = queues_[link.key];
  const bool was_head = queue.first == slot;
  if (was_head) DropHead(link.key);
  (link.previous == kNone ? queue.first : links_[link.previous].next) = link.next;
  (link.next == kNone ? queue.last : links_[link.next].previous) = link.previous;
  link.queued = false;
  --queue.length;
  --size_;
  deadlines_.Erase(slot);
  return was_head && queue.first != kNone ? AddHead(link.key) : heads_.size();
}

std::size_t WaitQueue::SetDeadline(Slot slot, Seconds deadline) {
  assert(Contains(slot));
  Link& link = links_[slot];
  const bool is_head = queues_[link.key].first == slot;
  if (is_head) DropHead(link.key);
  link.deadline = deadline;
  deadlines_.Set(slot, deadline);
  return is_head ? AddHead(link.key) : heads_.size();
}

void WaitQueue::DropHead(Key key) {
  const Slot slot = queues_[key].first;
  const Head head{links_[slot].deadline, key, slot};
  heads_.erase(std::lower_bound(heads_.begin(), heads_.end(), head, Before));
}

std::size_t WaitQueue::AddHead(Key key) {
  const Slot slot = queues_[key].first;
  const Head head{links_[slot].deadline, key, slot};
  const auto place =
      heads_.insert(std::lower_bound(heads_.begin(), heads_.end(), head, Before), head);
  return static_cast<std::size_t>(place - heads_.begin());
}

std::vector<WaitQueue::SubQueue> WaitQueue::SubQueues() const {
  std::vector<SubQueue> result;
  for (const Head& head : heads_) result.push_back({head.key, queues_[head.key].length});
  std::sort(result.begin(), result.end(), [](auto& a, auto& b) { return a.key < b.key; });
  return result;
}

}  // namespace headrace::scheduler
