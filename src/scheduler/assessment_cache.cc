#include "scheduler/assessment_cache.h"

namespace headrace::scheduler {

void AssessmentCache::BeginEpoch(std::size_t records) {
  ++epoch_;
  sweep_at_ = 0;
  sweep_end_ = records;
  typical_output_ = 0;
  for (const fleet::Deployment& deployment : fleet_.deployments()) {
    if (deployment.retired || !deployment.profile) continue;
    const auto centres = deployment.profile->outputs.centres();
    typical_output_ = centres[centres.size() * 3 / 4];
    break;
  }
}

void AssessmentCache::Refresh(Record& record) const {
  AssessAll(Sized(record), fleet_, record.assessment);
  record.assessment.epoch = epoch_;
}

}  // namespace headrace::scheduler
