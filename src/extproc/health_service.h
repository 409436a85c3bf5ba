// grpc.health.v1: what probes and proxies ask.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "extproc/completion_thread.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace headrace::extproc {

// Of one server, on one of its threads. gRPC's own service would do, but it answers on threads of
// gRPC's, which then wait for the sockets of all others, too, and hand over what they find.
class HealthService {
 public:
  // Whether a service serves, by its name; nothing: there is no such service. Thread-safe.
  using Serves = std::function<std::optional<bool>(std::string_view name)>;

  explicit HealthService(Serves serves) : serves_(std::move(serves)) {}
  HealthService(const HealthService&) = delete;
  HealthService& operator=(const HealthService&) = delete;

  // To be registered with the server.
  grpc::Service& service() { return service_; }
  // Before the thread starts; this must outlive it.
  void Begin(CompletionThread& thread);

  // Thread-safe; nothing happens before Begin:
  // Who watches hears at once what has changed, not only at the next look.
  void Refresh();
  // Nobody watches from now on.
  void End();

 private:
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;
  using Service = grpc::health::v1::Health::AsyncService;
  class Check;
  class Watch;

  Response ResponseFor(std::string_view name) const;
  void TellWatches();

  const Serves serves_;
  Service service_;
  CompletionThread* thread_ = nullptr;
  // On the thread:
  std::unique_ptr<serving::Alarm> look_;  // Set while somebody watches.
  std::set<Watch*> watches_;
  bool ended_ = false;
};

}  // namespace headrace::extproc
