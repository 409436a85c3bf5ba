#include "gateway/health_checker.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "net/http_client.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::gateway {

struct HealthChecker::Shared {
  // Held while a router is told, so that no router is told once its endpoint is not probed any
  // more.
  system::Mutex mutex;
  config::HealthConfig config HEADRACE_GUARDED_BY(mutex);
  // What is probed.
  std::map<EndpointPtr, serving::PoolRouter*> endpoints HEADRACE_GUARDED_BY(mutex);
  // By thread. The last probe of a thread may outlive the checker and keeps its client.
  std::vector<std::shared_ptr<ThreadProbes>> threads HEADRACE_GUARDED_BY(mutex);
  std::size_t next_thread HEADRACE_GUARDED_BY(mutex) = 0;
};

// The client for the probes of one thread.
struct HealthChecker::ThreadProbes {
  // The deadline of the probe is enough.
  explicit ThreadProbes(net::IoThread& thread) : client(thread, {.connect_timeout = kNever}) {}
  net::HttpClient client;
};

namespace {

// What is wrong with the endpoint, a phrase; "" if it is healthy.
net::Task<std::string> FaultOf(net::HttpClient& client, const serving::EndpointInfo& endpoint,
                               const config::HealthConfig& config, Seconds deadline) {
  const net::RequestHead head("GET", config.path, endpoint.address);
  net::HttpCall call(client);
  const net::CallError error = co_await call.Start(endpoint.socket, head, {}, deadline);
  if (error != net::CallError::kNone) co_return std::string(Describe(error));
  if (call.status() / 100 != 2) {
    co_return config.path + " responds with status " + std::to_string(call.status());
  }
  // Read to its end, so that the connection can be kept.
  for (;;) {
    const net::HttpCall::Piece piece = co_await call.ReadSome(deadline);
    if (piece.last || piece.error != net::CallError::kNone) co_return std::string();
  }
}

}  // namespace

HealthChecker::HealthChecker(const config::HealthConfig& config, net::IoThreads& threads)
    : shared_(std::make_shared<Shared>()) {
  const system::MutexLock lock(shared_->mutex);
  shared_->config = config;
  for (int i = 0; i < threads.size(); ++i) {
    shared_->threads.push_back(std::make_shared<ThreadProbes>(threads[i]));
  }
}

HealthChecker::~HealthChecker() {
  const system::MutexLock lock(shared_->mutex);
  shared_->endpoints.clear();
  // Connections end on the thread that they live on.
  for (auto& probes : shared_->threads) {
    net::IoThread& thread = probes->client.thread();
    thread.Post([owned = std::move(probes)] {});
  }
}

void HealthChecker::SetConfig(const config::HealthConfig& config) {
  const system::MutexLock lock(shared_->mutex);
  shared_->config = config;
}

void HealthChecker::SetEndpoints(serving::Pool& pool, const serving::EndpointList& endpoints) {
  Shared& shared = *shared_;
  const system::MutexLock lock(shared.mutex);
  const std::set<EndpointPtr> wanted(endpoints.begin(), endpoints.end());
  std::erase_if(shared.endpoints, [&](const auto& probed) {
    return probed.second == &pool.router() && !wanted.contains(probed.first);
  });
  for (const EndpointPtr& endpoint : endpoints) {
    if (!shared.endpoints.emplace(endpoint, &pool.router()).second) continue;
    const auto& probes = shared.threads[shared.next_thread++ % shared.threads.size()];
    probes->client.thread().Spawn(
        [shared = shared_, probes, endpoint] { return Probe(shared, probes, endpoint); });
  }
}

net::Task<void> HealthChecker::Probe(std::shared_ptr<Shared> shared,
                                     std::shared_ptr<ThreadProbes> probes, EndpointPtr endpoint) {
  int failures = 0;
  for (;;) {
    config::HealthConfig config;
    {
      const system::MutexLock lock(shared->mutex);
      if (!shared->endpoints.contains(endpoint)) co_return;
      config = shared->config;
    }
    const Seconds started = system::MonotonicNow();
    const Seconds deadline = started + config.timeout;
    const std::string fault = co_await FaultOf(probes->client, *endpoint, config, deadline);
    failures = fault.empty() ? 0 : failures + 1;
    {
      const system::MutexLock lock(shared->mutex);
      const auto probed = shared->endpoints.find(endpoint);
      if (probed == shared->endpoints.end()) co_return;
      if (fault.empty()) probed->second->SetUp(*endpoint, true);
      if (failures >= config.failures) probed->second->SetUp(*endpoint, false, fault);
    }
    co_await probes->client.thread().SleepUntil(started + config.interval);
  }
}

}  // namespace headrace::gateway
