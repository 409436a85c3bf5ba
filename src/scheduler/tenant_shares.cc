#include "scheduler/tenant_shares.h"

#include <algorithm>
#include <cmath>

namespace headrace::scheduler {
namespace {

constexpr Seconds kMemory = 60;
// Uses this close to the highest are alike.
constexpr double kAlike = 0.1;
// Somebody is above its share only if others have had at least such a part of the GPU time, …
constexpr double kOthers = 0.01;
// … and is forgotten, if another needs the account, below such a part of the mean.
constexpr double kForgotten = 0.01;
// Before numbers become too large.
constexpr double kMostScale = 1e30;

}  // namespace

void TenantShares::SetWeights(std::span<const TenantWeight> weights) {
  weights_.assign(weights.begin(), weights.end());
  for (std::uint32_t i = 0; i < accounts_.size(); ++i) {
    accounts_[i].weight = WeightOf(accounts_[i].tenant);
    by_use_.Set(i, -accounts_[i].use());
  }
}

double TenantShares::WeightOf(TenantId tenant) const {
  const auto found = std::ranges::find(weights_, tenant, &TenantWeight::tenant);
  return found == weights_.end() ? 1 : found->weight;
}

void TenantShares::Age(Seconds now) {
  scale_ = std::exp((now - since_) / kMemory);
  if (scale_ < kMostScale) return;
  const double factor = 1 / scale_;
  for (std::uint32_t i = 0; i < accounts_.size(); ++i) {
    accounts_[i].gpu_time *= factor;
    by_use_.Set(i, -accounts_[i].use());
  }
  total_ *= factor;
  since_ = now;
  scale_ = 1;
}

void TenantShares::Charge(TenantId tenant, Seconds gpu_time, Seconds now) {
  Age(now);
  const std::uint32_t place = FindOrAdd(tenant);
  Account& account = accounts_[place];
  const double before = account.gpu_time;
  account.gpu_time = std::max(0.0, before + gpu_time * scale_);
  total_ = std::max(0.0, total_ + account.gpu_time - before);
  by_use_.Set(place, -account.use());
}

bool TenantShares::IsAboveShare(TenantId tenant) const {
  if (accounts_.size() == 1) return false;
  const std::uint32_t place = Find(tenant);
  const bool is_new = place == 0 && tenant != kNoTenant && accounts_.size() < kMost;
  if (is_new) return false;
  const Account& account = accounts_[place];
  return account.use() > (1 - kAlike) * HighestUse() &&
         total_ - account.gpu_time > kOthers * total_;
}

double TenantShares::Share(TenantId tenant) const {
  const std::uint32_t place = Find(tenant);
  if (total_ == 0 || accounts_[place].tenant != tenant) return 0;
  return accounts_[place].gpu_time / total_;
}

std::uint32_t TenantShares::Find(TenantId tenant) const {
  if (tenant == kNoTenant) return 0;
  const auto found = places_.find(tenant);
  return found == places_.end() ? 0 : found->second;
}

std::uint32_t TenantShares::FindOrAdd(TenantId tenant) {
  if (const std::uint32_t place = Find(tenant); place > 0 || tenant == kNoTenant) return place;
  auto place = static_cast<std::uint32_t>(accounts_.size());
  if (accounts_.size() < kMost) {
    accounts_.emplace_back();
  } else {
    const auto least =
        std::ranges::min_element(accounts_.begin() + 1, accounts_.end(), {}, &Account::gpu_time);
    if (least->gpu_time > kForgotten * total_ / static_cast<double>(kMost)) return 0;
    place = static_cast<std::uint32_t>(least - accounts_.begin());
    places_.erase(least->tenant);
    total_ -= least->gpu_time;
  }
  accounts_[place] = {.tenant = tenant, .weight = WeightOf(tenant)};
  places_[tenant] = place;
  return place;
}

}  // namespace headrace::scheduler
