#include "fleet/littles_law.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace headrace::fleet {
namespace {

class SumOfShares final : public EndpointLoad {
 public:
  Fit Assess(const Demand& demand, Seconds) const override {
    return {.now = Weighted(own_ + foreign_ + demand.share) <= kCapacity || (own_ + foreign_ == 0)};
  }

  // A resident's name is its share: nothing else has to be remembered of it.
  Resident Start(const Demand& demand, Seconds) override {
    own_ += demand.share;
    return static_cast<Resident>(demand.share);
  }
  void End(Resident resident, const Completion&, Seconds) override {
    own_ -= static_cast<Load>(resident);
    assert(own_ >= 0);
  }
  void SetForeign(const ForeignLoad& foreign) override { foreign_ = foreign.load; }

  void SetWeight(double weight) override { weight_ = weight; }

  Load Order() const override { return Weighted(own_ + foreign_); }

 private:
  Load Weighted(Load load) const {
    return weight_ == 1 ? load : std::llround(static_cast<double>(load) / weight_);
  }

  Load own_ = 0;
  Load foreign_ = 0;
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
