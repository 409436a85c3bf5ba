#include "extproc/health_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

namespace headrace::extproc {
namespace {

// How often those who watch are told what has changed.
constexpr Seconds kLookInterval = 0.5;

}  // namespace

// Lives on the thread, and ends itself.
class HealthService::Check {
 public:
  static void Await(HealthService& health) {
    auto* const check = new Check(health);
    health.service_.RequestCheck(&check->call_, &check->request_, &check->responder_,
                                 &health.thread_->queue(), &health.thread_->queue(),
                                 &check->begun_);
  }

 private:
  explicit Check(HealthService& health)
      : health_(health),
        responder_(&call_),
        begun_(this, [](void* check, bool ok) { static_cast<Check*>(check)->OnBegun(ok); }),
        finished_(this, [](void* check, bool) { delete static_cast<Check*>(check); }) {
    health_.thread_->Enter();
  }
  ~Check() { health_.thread_->Leave(); }

  void OnBegun(bool ok) {
    if (!ok) {  // The server stops.
      delete this;
      return;
    }
    Await(health_);
    const Response response = health_.ResponseFor(request_.service());
    if (response.status() == Response::SERVICE_UNKNOWN) {
      responder_.FinishWithError({grpc::StatusCode::NOT_FOUND, "There is no such service."},
                                 &finished_);
    } else {
      responder_.Finish(response, grpc::Status::OK, &finished_);
    }
  }

  HealthService& health_;
  grpc::ServerContext call_;
  Request request_;
  grpc::ServerAsyncResponseWriter<Response> responder_;
  PendingCall begun_;
  PendingCall finished_;
};

// Lives on the thread until its client has gone or nobody is to watch, and ends itself.
class HealthService::Watch {
 public:
  static void Await(HealthService& health) {
    auto* const watch = new Watch(health);
    watch->call_.AsyncNotifyWhenDone(&watch->done_);
    health.service_.RequestWatch(&watch->call_, &watch->request_, &watch->writer_,
                                 &health.thread_->queue(), &health.thread_->queue(),
                                 &watch->begun_);
  }

  // The status, if it is another one than was told last.
  void Tell() {
    if (writing_ || finishing_) return;
    if (closing_) {
      finishing_ = true;
      writer_.Finish({grpc::StatusCode::UNAVAILABLE, "The server stops."}, &finished_);
      return;
    }
    const Response response = health_.ResponseFor(request_.service());
    if (told_ == response.status()) return;
    told_ = response.status();
    writing_ = true;
    writer_.Write(response, &written_);
  }
  void Close() {
    closing_ = true;
    Tell();
  }

 private:
  explicit Watch(HealthService& health)
      : health_(health),
        writer_(&call_),
        begun_(this, &Call<&Watch::OnBegun>),
        written_(this, &Call<&Watch::OnWritten>),
        finished_(this, &Call<&Watch::OnFinished>),
        done_(this, &Call<&Watch::OnDone>) {
    health_.thread_->Enter();
  }
  ~Watch() { health_.thread_->Leave(); }

  template <void (Watch::*on_done)(bool ok)>
  static void Call(void* watch, bool ok) {
    (static_cast<Watch*>(watch)->*on_done)(ok);
  }

  void OnBegun(bool ok) {
    if (!ok) {  // The server stops.
      delete this;
      return;
    }
    Await(health_);
    health_.watches_.insert(this);
    if (health_.watches_.size() == 1) {
      health_.look_->Set(health_.thread_->Now() + kLookInterval);
    }
    closing_ = health_.ended_;
    Tell();
  }
  void OnWritten(bool /*ok*/) {
    writing_ = false;
    Tell();
  }
  void OnDone(bool /*ok*/) {
    done_with_ = true;
    Close();
    EndIfDone();
  }
  void OnFinished(bool /*ok*/) {
    finished_with_ = true;
    EndIfDone();
  }
  void EndIfDone() {
    if (!done_with_ || !finished_with_) return;
    health_.watches_.erase(this);
    delete this;
  }

  HealthService& health_;
  grpc::ServerContext call_;
  Request request_;
  grpc::ServerAsyncWriter<Response> writer_;
  PendingCall begun_;
  PendingCall written_;
  PendingCall finished_;
  PendingCall done_;
  std::optional<Response::ServingStatus> told_;
  bool writing_ = false;
  bool closing_ = false;
  bool finishing_ = false;
  bool finished_with_ = false;
  bool done_with_ = false;  // Its client, or we.
};

void HealthService::Begin(CompletionThread& thread) {
  thread_ = &thread;
  look_ = thread.MakeAlarm([this] { TellWatches(); });
  Check::Await(*this);
  Watch::Await(*this);
}

void HealthService::Refresh() {
  if (thread_ == nullptr) return;
  thread_->Post([this] { TellWatches(); });
}

void HealthService::End() {
  if (thread_ == nullptr) return;
  thread_->Post([this] {
    ended_ = true;
    for (Watch* const watch : watches_) watch->Close();
  });
}

HealthService::Response HealthService::ResponseFor(std::string_view name) const {
  Response response;
  const std::optional<bool> serves = serves_(name);
  response.set_status(!serves   ? Response::SERVICE_UNKNOWN
                      : *serves ? Response::SERVING
                                : Response::NOT_SERVING);
  return response;
}

void HealthService::TellWatches() {
  for (Watch* const watch : watches_) watch->Tell();
  look_->Set(watches_.empty() ? kNever : thread_->Now() + kLookInterval);
}

}  // namespace headrace::extproc
