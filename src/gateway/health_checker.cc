#include "gateway/health_checker.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/engine_access.h"
#include "net/http_client.h"
#include "openai/engine_metrics.h"
#include "openai/model_list.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::gateway {

struct HealthChecker::Shared {
  // Held while a router is told, so that no router is told once its endpoint is not probed any
  // more.
  system::Mutex mutex;
  config::HealthConfig config HEADRACE_GUARDED_BY(mutex);
  // What is probed.
  std::map<EndpointPtr, serving::Pool*> endpoints HEADRACE_GUARDED_BY(mutex);
  // By thread. The last probe of a thread may outlive the checker and keeps its client.
  std::vector<std::shared_ptr<ThreadProbes>> threads HEADRACE_GUARDED_BY(mutex);
  std::size_t added HEADRACE_GUARDED_BY(mutex) = 0;  // Endpoints so far.
};

// The client for the probes of one thread.
struct HealthChecker::ThreadProbes {
  // The deadline of the probe is enough.
  explicit ThreadProbes(net::IoThread& thread) : client(thread, {.connect_timeout = kNever}) {}
  net::HttpClient client;
};

namespace {

// The first probes of many endpoints, which all come at once, wait this long for each other.
constexpr Seconds kFirstProbesApart = kMillisecond;

// LoRA adapters come and go while an engine runs.
constexpr Seconds kTimeOfModels = 60;

constexpr std::size_t kMostBytes = std::size_t{1} << 20;

struct Response {
  net::CallError error = net::CallError::kNone;  // None once the head has arrived.
  std::string fault;                             // What went wrong, if anything did.
  int status = 0;
  bool whole = false;  // The body has come to its end, …
  std::string body;    // … the first of it, if it is very long.
};

net::Task<Response> Get(net::HttpClient& client, const serving::EndpointInfo& endpoint,
                        std::string_view path, Seconds deadline) {
  net::RequestHead head = RequestHeadFor(endpoint, "GET", path);
  if (const EngineAccess* access = AccessOf(endpoint)) access->AddHeaders(head);
  const net::Destination destination = DestinationOf(endpoint);
  net::HttpCall call(client);
  Response response;
  response.error = co_await call.Start(destination, head, {}, deadline);
  response.fault = call.Fault();
  if (response.error != net::CallError::kNone) co_return response;
  response.status = call.status();
  // Read to its end, so that the connection can be kept.
  for (;;) {
    const net::HttpCall::Piece piece = co_await call.ReadSome(deadline);
    if (piece.error != net::CallError::kNone) co_return response;
    if (response.body.size() < kMostBytes) response.body += piece.data;
    response.whole = piece.last;
    if (piece.last) co_return response;
  }
}

// Only that a connection can be made.
net::Task<Response> Connect(net::HttpClient& client, const serving::EndpointInfo& endpoint,
                            Seconds deadline) {
  const net::Destination destination = DestinationOf(endpoint);
  net::HttpCall call(client);
  Response response;
  response.error = co_await call.Connect(destination, deadline);
  response.fault = call.Fault();
  response.status = 200;
  co_return response;
}

// Whether a server of HTTPS was asked in plain HTTP: they say so in many words, or close.
bool WantsTls(const Response& response, const serving::EndpointInfo& endpoint) {
  const EngineAccess* const access = AccessOf(endpoint);
  if (access != nullptr && access->peer() != nullptr) return false;
  if (response.error == net::CallError::kNoResponse) return true;
  return response.status == 400 && (response.body.find("HTTPS") != std::string::npos ||
                                    response.body.find("SSL-enabled") != std::string::npos);
}

// What is wrong with the endpoint, a phrase; "" if it is healthy.
std::string FaultOf(const Response& response, const serving::EndpointInfo& endpoint,
                    const std::string& path) {
  std::string fault;
  if (response.error != net::CallError::kNone) {
    fault = response.fault;
  } else if (response.status / 100 != 2) {
    fault = path + " responds with status " + std::to_string(response.status);
  } else {
    return {};
  }
  if (WantsTls(response, endpoint)) {
    fault += "; if it speaks TLS, write https:// before its address";
  } else if (response.error == net::CallError::kNone && response.status == 404) {
    fault += "; if it has no such page, set `health_path` to one that it has, or to `none`";
  } else if (response.status == 401 || response.status == 403) {
    fault += "; if it wants a key, set `api_key` or `api_key_file`";
  }
  return fault;
}

// What an engine lists; nothing if that is no list.
std::vector<openai::ListedModel> ListedBy(const Response& response) {
  if (response.status != 200) return {};
  return openai::ParseModelList(response.body).value_or(std::vector<openai::ListedModel>());
}

// The context that an engine's list of models gives the pool; 0 if it gives none.
Tokens MaxModelLenOf(const std::vector<openai::ListedModel>& models, const serving::Pool& pool) {
  std::vector<std::string> names = pool.names().Configured();
  names.push_back(pool.names().EngineName());
  Tokens least = 0;
  for (const openai::ListedModel& model : models) {
    if (model.max_model_len == 0) continue;
    if (std::ranges::find(names, model.id) == names.end()) continue;
    least = least == 0 ? model.max_model_len : std::min(least, model.max_model_len);
  }
  return least;
}

}  // namespace

double ProbePhase(std::size_t n) {
  const double multiple = static_cast<double>(n + 1) * 0.6180339887498949;
  return multiple - std::floor(multiple);
}

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
  std::set<EndpointPtr> wanted(endpoints.begin(), endpoints.end());
  std::erase_if(wanted, [](const EndpointPtr& endpoint) { return !endpoint->socket; });
  std::erase_if(shared.endpoints, [&](const auto& probed) {
    return probed.second == &pool && !wanted.contains(probed.first);
  });
  std::vector<std::string> engines;
  for (const EndpointPtr& endpoint : wanted) engines.push_back(endpoint->address);
  pool.names().KeepListedBy(engines);
  Seconds delay = 0;
  for (const EndpointPtr& endpoint : wanted) {
    if (!shared.endpoints.emplace(endpoint, &pool).second) continue;
    const auto& probes = shared.threads[shared.added % shared.threads.size()];
    const Rhythm rhythm = {.delay = delay, .phase = ProbePhase(shared.added)};
    ++shared.added;
    delay += kFirstProbesApart;
    probes->client.thread().Spawn([shared = shared_, probes, endpoint, rhythm] {
      return Probe(shared, probes, endpoint, rhythm);
    });
  }
}

net::Task<void> HealthChecker::Probe(std::shared_ptr<Shared> shared,
                                     std::shared_ptr<ThreadProbes> probes, EndpointPtr endpoint,
                                     Rhythm rhythm) {
  net::IoThread& thread = probes->client.thread();
  Seconds next = system::MonotonicNow() + rhythm.delay;
  co_await thread.SleepUntil(next);
  Seconds step = rhythm.phase;  // Of an interval: the second probe finds its place in it.
  int failures = 0;
  Seconds models_known_until = 0;
  bool knows_kv_room = false;
  for (;;) {
    config::HealthConfig config;
    {
      const system::MutexLock lock(shared->mutex);
      if (!shared->endpoints.contains(endpoint)) co_return;
      config = shared->config;
    }
    const Seconds started = system::MonotonicNow();
    const Seconds deadline = started + config.timeout;
    const EngineAccess* const access = AccessOf(*endpoint);
    if (access != nullptr && access->options().key_file != nullptr) {
      const std::function<void()> refresh = [access] {
        (void)access->options().key_file->Refresh();  // Else the last key is still the best.
      };
      co_await thread.RunAside(refresh);
    }
    const std::string path =
        access != nullptr ? access->options().health_path.value_or(config.path) : config.path;
    Response health;
    if (path == config::kNoHealthPath) {
      health = co_await Connect(probes->client, *endpoint, deadline);
    } else {
      health = co_await Get(probes->client, *endpoint, path, deadline);
    }
    const std::string fault = FaultOf(health, *endpoint, path);
    failures = fault.empty() ? 0 : failures + 1;
    // An engine that was away may have come back with another context, and less memory.
    if (failures > 0) {
      models_known_until = 0;
      knows_kv_room = false;
    }
    Response models;
    if (failures == 0 && started >= models_known_until) {
      models = co_await Get(probes->client, *endpoint, "/v1/models", deadline);
    }
    Response metrics;
    if (failures == 0 && !knows_kv_room) {
      metrics = co_await Get(probes->client, *endpoint, "/metrics", deadline);
    }
    {
      const system::MutexLock lock(shared->mutex);
      const auto probed = shared->endpoints.find(endpoint);
      if (probed == shared->endpoints.end()) co_return;
      serving::Pool& pool = *probed->second;
      // One that has no time to list them has them all the same.
      if (models.whole && models.status < 500 && models.status != 429) {
        const std::vector<openai::ListedModel> listed = ListedBy(models);
        pool.router().SetMaxModelLen(*endpoint, MaxModelLenOf(listed, pool));
        pool.names().SetListed(endpoint->address, listed);
        models_known_until = system::MonotonicNow() + kTimeOfModels;
      }
      if (metrics.whole) {
        pool.router().SetKvTokens(*endpoint,
                                  metrics.status == 200 ? openai::KvTokensIn(metrics.body) : 0);
        knows_kv_room = true;
      }
      if (fault.empty()) pool.router().SetUp(*endpoint, true);
      if (failures >= config.failures) pool.router().SetUp(*endpoint, false, fault);
    }
    next = std::max(next + step * config.interval, started);
    step = 1;
    co_await thread.SleepUntil(next);
  }
}

}  // namespace headrace::gateway
