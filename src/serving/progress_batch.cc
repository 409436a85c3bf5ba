#include "serving/progress_batch.h"

#include <algorithm>

namespace headrace::serving {

ProgressBatch::Stream::~Stream() {
  if (pending_) std::erase(batch_.pending_, this);
}

void ProgressBatch::Add(Stream& stream) {
  stream.pending_ = true;
  pending_.push_back(&stream);
  if (pending_.size() > 1) return;
  if (alarm_ == nullptr) alarm_ = executor_.MakeAlarm([this] { Flush(); });
  alarm_->Set(executor_.Now() + kInterval);
}

void ProgressBatch::Flush() {
  // One pool after the other.
  std::ranges::sort(pending_, {}, [](const Stream* stream) { return &stream->router_; });
  for (auto at = pending_.begin(); at != pending_.end();) {
    PoolRouter& router = (*at)->router_;
    reports_.clear();
    for (; at != pending_.end() && &(*at)->router_ == &router; ++at) {
      Stream& stream = **at;
      reports_.push_back({stream.id_, stream.generated_, !stream.began_});
      stream.began_ = true;
      stream.pending_ = false;
    }
    router.Report(reports_);
  }
  pending_.clear();
}

}  // namespace headrace::serving
