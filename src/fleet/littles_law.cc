#include "fleet/littles_law.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace headrace::fleet {
namespace {

class SumOfShares final : public EndpointLoad {
 public:
  Fit Assess(const Demand& demand, Seconds) const override {
    return {.now = Weighted(sum_ + demand.share) <= kCapacity || sum_ == 0};
  }

  // A resident's name is its share: nothing else has to be remembered of it.
  Resident Start(const Demand& demand, Seconds) override {
    sum_ += demand.share;
    return static_cast<Resident>(demand.share);
  }
  void End(Resident resident, const Completion&, Seconds) override {
    sum_ -= static_cast<Load>(resident);
    assert(sum_ >= 0);
  }
  void SetReplicas(int replicas) override { replicas_ = replicas; }

  void SetWeight(double weight) override { weight_ = weight; }

  Load Order() const override { return Weighted(sum_); }

 private:
  Load Weighted(Load load) const {
    load *= replicas_;
    return weight_ == 1 ? load : std::llround(static_cast<double>(load) / weight_);
  }

  Load sum_ = 0;
  int replicas_ = 1;
  double weight_ = 1;
};

}  // namespace

std::unique_ptr<EndpointLoad> LittlesLaw::Join(const Deployment&, const Endpoint&) const {
  return std::make_unique<SumOfShares>();
}

std::optional<Load> LittlesLaw::Share(const profile::GpuProfile& profile,
                                      profile::ProfileCell cell) const {
  const double tput = profile.tput.at(cell.output, cell.input);
  if (tput == 0) return 0;
  if (!profile.e2e) return std::nullopt;
  const double in_flight = tput * profile.e2e->at(cell.output, cell.input);
  if (!(in_flight > 0)) return std::nullopt;
  const auto share = std::llround(static_cast<double>(kCapacity) / in_flight);
  return std::clamp<Load>(share, 1, kCapacity);
}

}  // namespace headrace::fleet
