#include "serving/response_owners.h"

#include <utility>

namespace headrace::serving {

void ResponseOwners::Note(std::string_view id, Owner owner, Seconds now) {
  if (id.empty() || id.size() > kMostIdBytes || owner.model.size() > kMostModelBytes) return;
  const system::MutexLock lock(mutex_);
  if (by_id_.contains(id)) return;
  while (!entries_.empty() && (entries_.size() >= kMost || now - entries_.front().noted > kKept)) {
    by_id_.erase(entries_.front().id);
    entries_.pop_front();
  }
  // A deque's entries stay where they are.
  const Entry& entry =
      entries_.emplace_back(Entry{.id = std::string(id), .owner = std::move(owner), .noted = now});
  by_id_.emplace(entry.id, &entry);
}

ResponseOwners::Owner ResponseOwners::Find(std::string_view id, Seconds now) const {
  const system::MutexLock lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || now - found->second->noted > kKept) return {};
  return found->second->owner;
}

}  // namespace headrace::serving
