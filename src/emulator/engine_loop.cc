#include "emulator/engine_loop.h"

#include "system/clock.h"

namespace headrace::emulator {
namespace {

// Steps follow each other by the model's clock, so that a late timer does not slow the engine down;
// but a thread that is this far behind goes on from now and does not catch up.
constexpr Seconds kMostLag = 0.1;

}  // namespace

void EngineLoop::Start(net::IoThread& thread) {
  thread_ = &thread;
  thread.Spawn([this] { return Run(); });
}

net::Task<void> EngineLoop::Run() {
  net::Waker work(*thread_);
  work_ = &work;
  Seconds step_end = 0;
  for (;;) {
    if (model_.idle()) {
      co_await work.Wait(kNever);
      step_end = system::MonotonicNow();
      continue;
    }
    if (step_end < system::MonotonicNow() - kMostLag) step_end = system::MonotonicNow();
    const engine::EngineModel::StepReport report = model_.Step();
    step_end += report.duration / speed_;
    co_await thread_->SleepUntil(step_end);
    metrics_.StepMade(report);
    Deliver();
  }
}

void EngineLoop::Deliver() {
  const Seconds now = system::MonotonicNow();
  for (const engine::EngineModel::Event& event : model_.events()) {
    if (event.kind != engine::EngineModel::Event::Kind::kFinished) continue;
    const auto job = jobs_.find(event.tag);
    if (job != jobs_.end()) job->second->Advance(job->second->output_, true, now);
  }
  for (const auto& [_, job] : jobs_) {
    if (!model_.alive(job->handle_)) continue;
    const Tokens generated = model_.generated(job->handle_);
    if (generated != job->generated_) job->Advance(generated, false, now);
  }
}

EngineJob::EngineJob(EngineLoop& loop, Tokens prompt, Tokens output)
    : loop_(loop),
      waker_(*loop.thread_),
      tag_(loop.jobs_made_++),
      prompt_(prompt),
      output_(output),
      arrived_(system::MonotonicNow()) {
  handle_ = loop.model_.Add(tag_, prompt, output);
  loop.jobs_.emplace(tag_, this);
  loop.work_->Wake();
}

EngineJob::~EngineJob() {
  if (!finished_) Cancel();
  loop_.jobs_.erase(tag_);
}

net::Task<void> EngineJob::Progress() { co_await waker_.Wait(kNever); }

void EngineJob::Cancel() {
  if (finished_ || cancelled_) return;
  cancelled_ = true;
  // False in the step that makes the last token: it exists, but no request has been told.
  loop_.model_.Cancel(handle_);
  loop_.metrics_.Ended("abort");
  waker_.Wake();
}

void EngineJob::Advance(Tokens generated, bool finished, Seconds now) {
  if (cancelled_) return;
  EngineMetrics& metrics = loop_.metrics_;
  if (generated > 0 && generated_ == 0) {
    metrics.FirstToken(now - arrived_);
    first_token_ = now;
  } else if (generated > generated_) {
    metrics.MoreTokens(generated - generated_, now - last_token_);
  }
  last_token_ = now;
  generated_ = generated;
  finished_ = finished;
  if (finished) metrics.Finished(prompt_, output_, now - arrived_, now - first_token_);
  waker_.Wake();
}

}  // namespace headrace::emulator
