// How much GPU time each tenant has had lately, and who has had more than its share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/indexed_heap.h"
#include "base/units.h"
#include "scheduler/events.h"

namespace headrace::scheduler {

// A tenant's *use* is the GPU time of its requests divided by its weight. What is a minute old
// counts 1/e of that, so nobody saves up credit and no debt is for ever. The tenants with the
// highest use are above their share, all others within it: while those above wait behind the
// others, uses become equal as far as demands go, which is the weighted max-min share.
//
// At most kMost tenants have an account of their own, because clients choose the names. When all
// accounts are in use, those that come then are accounted together with those that name nobody.
// Costs O(log tenants) per charge, O(1) per question. Not thread-safe.
class TenantShares {
 public:
  static constexpr std::size_t kMost = 1024;

  void SetWeights(std::span<const TenantWeight> weights);

  // GPU time of a request of the tenant, or (below 0) some that was charged and not used.
  void Charge(TenantId tenant, Seconds gpu_time, Seconds now);
  bool IsAboveShare(TenantId tenant) const;

  // Of all GPU time of late, the tenant's part.
  double Share(TenantId tenant) const;
  std::size_t tenants() const { return accounts_.size(); }

 private:
  struct Account {
    TenantId tenant = kNoTenant;
    double gpu_time = 0;  // Decayed, in units of scale_.
    double weight = 1;
    double use() const { return gpu_time / weight; }
  };

  std::uint32_t Find(TenantId tenant) const;
  std::uint32_t FindOrAdd(TenantId tenant);
  double WeightOf(TenantId tenant) const;
  void Age(Seconds now);
  double HighestUse() const { return by_use_.empty() ? 0 : -by_use_.top_key(); }

  std::vector<TenantWeight> weights_;
  std::vector<Account> accounts_{Account{}};  // The first one is that of kNoTenant.
  std::unordered_map<TenantId, std::uint32_t> places_;
  IndexedHeap<double> by_use_;  // The highest first: keys are negative uses.
  double total_ = 0;            // Of gpu_time.
  // Instead of what is old getting less, what is new gets more.
  Seconds since_ = 0;
  double scale_ = 1;
};

}  // namespace headrace::scheduler
