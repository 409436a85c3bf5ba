#include "gateway/health_checker.h"

#include <mutex>

#include "net/http_client.h"
#include "system/clock.h"

namespace headrace::gateway {

struct HealthChecker::Shared {
  config::HealthConfig config;
  std::mutex mutex;      // Held while a router is told, so that ~HealthChecker can wait for that.
  bool stopped = false;  // Guarded by mutex.
};

// A client for the probes of one thread; the last probe of the thread takes it along.
struct HealthChecker::ThreadProbes {
  ThreadProbes(net::IoThread& thread, const net::HttpClientOptions& options)
      : client(thread, options) {}
  net::HttpClient client;
};

HealthChecker::HealthChecker(const config::HealthConfig& config,
                             std::vector<std::unique_ptr<serving::ServedModel>>& models,
                             net::IoThreads& threads)
    : shared_(std::make_shared<Shared>()) {
  shared_->config = config;
  net::HttpClientOptions options;
  options.connect_timeout = config.timeout;
  std::vector<std::shared_ptr<ThreadProbes>> probes;
  for (int i = 0; i < threads.size(); ++i) {
    probes.push_back(std::make_shared<ThreadProbes>(threads[i], options));
  }
  std::size_t next = 0;
  for (const auto& model : models) {
    for (const auto& endpoint : model->router.Endpoints()) {
      const auto& thread_probes = probes[next++ % probes.size()];
      thread_probes->client.thread().Spawn(
          [shared = shared_, thread_probes, &router = model->router, endpoint] {
            return Probe(shared, thread_probes, router, endpoint);
          });
    }
  }
}

HealthChecker::~HealthChecker() {
  const std::lock_guard lock(shared_->mutex);
  shared_->stopped = true;
}

net::Task<void> HealthChecker::Probe(std::shared_ptr<Shared> shared,
                                     std::shared_ptr<ThreadProbes> probes,
                                     serving::ModelRouter& router,
                                     std::shared_ptr<const serving::EndpointInfo> endpoint) {
  const config::HealthConfig& config = shared->config;
  const net::RequestHead head("GET", config.path, endpoint->address);
  int failures = 0;
  for (;;) {
    const Seconds started = system::MonotonicNow();
    std::string fault;
    {
      net::HttpCall call(probes->client);
      const net::CallError error =
          co_await call.Start(endpoint->socket, head, {}, started + config.timeout);
      if (error != net::CallError::kNone) {
        fault = Describe(error);
      } else if (call.status() / 100 != 2) {
        fault = config.path + " answers with status " + std::to_string(call.status());
      }
      // Read to its end, so that the connection can be kept.
      while (fault.empty()) {
        const net::HttpCall::Piece piece = co_await call.ReadSome(started + config.timeout);
        if (piece.last || piece.error != net::CallError::kNone) break;
      }
    }
    failures = fault.empty() ? 0 : failures + 1;
    {
      const std::lock_guard lock(shared->mutex);
      if (shared->stopped) co_return;
      if (fault.empty()) router.SetUp(*endpoint, true);
      if (failures >= config.failures) router.SetUp(*endpoint, false, fault);
    }
    co_await probes->client.thread().SleepUntil(started + config.interval);
  }
}

}  // namespace headrace::gateway
