// For tests: a gateway before emulated engines, all in one process, and a client for it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "emulator/emulated_engine.h"
#include "engine/gpu_catalog.h"
#include "gateway/gateway.h"
#include "net/test_peers.h"
#include "system/temporary_folder.h"

namespace headrace::gateway {

// Waits for something that other threads do; false after 20 s.
inline bool Eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

struct HttpResponse {
  int status = 0;
  std::string head;
  std::string body;      // Chunks joined.
  bool complete = true;  // The end of the body was seen.

  std::string Header(std::string_view name) const {
    const std::string start = "\r\n" + std::string(name) + ": ";
    std::string lower = head;
    for (char& c : lower) c = static_cast<char>(std::tolower(c));
    const std::size_t at = lower.find(start);
    if (at == std::string::npos) return {};
    const std::size_t value = at + start.size();
    return head.substr(value, head.find("\r\n", value) - value);
  }
};

inline std::string PostText(std::string_view path, std::string_view body,
                            const std::vector<std::string>& headers = {}) {
  std::string text = "POST " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n";
  for (const std::string& header : headers) text += header + "\r\n";
  text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n\r\n";
  return text + std::string(body);
}

// Reads one response off a connection.
inline HttpResponse ReadResponse(net::RawPeer& peer) {
  HttpResponse response;
  response.head = peer.ReadUntil("\r\n\r\n");
  if (response.head.size() < 12) {
    response.complete = false;
    return response;
  }
  response.status = std::stoi(response.head.substr(9, 3));
  if (response.Header("transfer-encoding") == "chunked") {
    for (;;) {
      const std::string line = peer.ReadUntil("\r\n");
      const std::size_t size = line.empty() ? 0 : std::stoul(line, nullptr, 16);
      response.complete = !line.empty();
      response.body += peer.ReadCount(size);
      peer.ReadCount(2);
      if (size == 0) break;
    }
  } else {
    const std::size_t size = std::stoul("0" + response.Header("content-length"));
    response.body = peer.ReadCount(size);
    response.complete = response.body.size() == size;
  }
  return response;
}

// An engine that does what a correct one does not: it responds to its first request with these
// bytes, closes the connection, and ends. Health probes get no response.
class OneResponseEngine {
 public:
  explicit OneResponseEngine(std::string response)
      : thread_([this, response = std::move(response)] {
          for (;;) {
            net::RawPeer peer = listener_.Accept();
            request_.head = peer.ReadUntil("\r\n\r\n");
            if (request_.head.starts_with("GET ")) continue;
            request_.body = peer.ReadCount(std::stoul("0" + request_.Header("content-length")));
            peer.Send(response);
            return;
          }
        }) {}
  ~OneResponseEngine() {
    if (thread_.joinable()) thread_.join();
  }

  std::string address() const { return listener_.address().ToString(); }
  // The request, once that was answered. Once.
  const HttpResponse& Request() {
    thread_.join();
    return request_;
  }

 private:
  net::RawListener listener_;
  HttpResponse request_;
  std::thread thread_;
};

inline HttpResponse Post(const system::SocketAddress& address, std::string_view path,
                         std::string_view body, const std::vector<std::string>& headers = {}) {
  net::RawPeer peer(address);
  peer.Send(PostText(path, body, headers));
  return ReadResponse(peer);
}

inline HttpResponse Get(const system::SocketAddress& address, std::string_view path) {
  net::RawPeer peer(address);
  peer.Send("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return ReadResponse(peer);
}

// The sum of the series in a page of metrics that begin with `name`.
inline double SumOf(std::string_view page, std::string_view name) {
  const std::string text = "\n" + std::string(page);
  double sum = 0;
  const std::string start = "\n" + std::string(name);
  for (std::size_t at = 0; (at = text.find(start, at)) != std::string::npos; ++at) {
    sum += std::stod(text.substr(text.rfind(' ', text.find('\n', at + 1))));
  }
  return sum;
}

// Requests that run in an engine, by its own account.
inline double RunningAt(const emulator::EmulatedEngine& engine) {
  const std::string text = Get(engine.address(), "/metrics").body;
  const std::size_t at = text.find("\nvllm:num_requests_running");
  return std::stod(text.substr(text.find(' ', at + 1)));
}

inline std::string ChatBody(int max_tokens, bool stream, std::string_view extra = "",
                            std::string_view model = "llama2-7b") {
  return R"({"model":")" + std::string(model) +
         R"(","messages":[{"role":"user","content":"How deep is the lake?"}],"max_tokens":)" +
         std::to_string(max_tokens) + (stream ? R"(,"stream":true)" : "") + std::string(extra) +
         "}";
}

// A request for an answer of so many tokens.
inline std::string PostChat(int tokens, bool stream) {
  return PostText("/v1/chat/completions", ChatBody(tokens, stream),
                  {"x-headrace-output-tokens: " + std::to_string(tokens)});
}

class TestGateway {
 public:
  // One model, llama2-7b; no deployments, no profiles. Change `config` before Start.
  TestGateway() {
    config.listen = "127.0.0.1:0";
    config.threads = 2;
    config.profiles.directory = folder.path().string();
    config.health.interval = 0.05;
    config.timeouts.drain = 5;
    config.models.push_back({});
    config.models[0].name = "llama2-7b";
    // Most tests are about what a profile says; those of other policies name theirs.
    config.models[0].policy = "slo";
  }

  // An engine of the GPU type, this many times faster than life.
  emulator::EmulatedEngine& AddEngine(const std::string& deployment, double speed = 1000,
                                      const std::string& gpu = "a10", Tokens max_model_len = 0) {
    emulator::EmulatedEngineOptions options;
    options.model = "llama2-7b";
    options.engine = *engine::GpuCatalog::Parse(engine::ShippedGpuCatalog(), "gpus.json")
                          ->Engine(gpu, "llama2-7b", max_model_len);
    options.speed = speed;
    options.listen = net::AnyLoopbackPort();
    engines.push_back(*emulator::EmulatedEngine::Start(options));
    AddEndpoint(deployment, engines.back()->address().ToString());
    return *engines.back();
  }
  void AddEndpoint(const std::string& deployment, const std::string& address) {
    auto& deployments = config.models[0].deployments;
    for (config::DeploymentConfig& known : deployments) {
      if (known.name == deployment) {
        known.endpoints.push_back(address);
        return;
      }
    }
    config::DeploymentConfig added;
    added.name = deployment;
    added.endpoints = {address};
    deployments.push_back(added);
  }
  // One cell, for every size of request.
  static std::string ProfileText(const std::string& deployment, double tput, double e2e_slo = 100) {
    return R"({"gpu": ")" + deployment + R"(", "cost": 1, "tputs": [[)" + std::to_string(tput) +
           R"(]], "indexes": [[64], [64]], "created": 1, "e2e": [[1]], "slos": {"e2e": )" +
           std::to_string(e2e_slo) + "}}";
  }
  void AddProfile(const std::string& deployment, double tput, double e2e_slo = 100) const {
    folder.Write(deployment + ".json", ProfileText(deployment, tput, e2e_slo));
  }

  void Start() { Keep(Gateway::Start(config, log, registry)); }
  // With these endpoints instead of the configured ones.
  void Start(std::unique_ptr<discovery::EndpointSource> source) {
    EndpointSources sources;
    sources.push_back(std::move(source));
    Keep(Gateway::Start(config, std::move(sources), log, registry));
  }
  void Keep(Result<std::unique_ptr<Gateway>> started) {
    if (!started) throw std::runtime_error(started.error().message);
    gateway = std::move(*started);
  }
  system::SocketAddress address() const { return gateway->address(); }
  HttpResponse Chat(std::string_view body, const std::vector<std::string>& headers = {}) const {
    return Post(address(), "/v1/chat/completions", body, headers);
  }
  // Most tokens that fit there, as far as the gateway knows.
  Tokens ContextOf(std::string_view deployment) const {
    for (const auto& known : Status().deployments) {
      if (known.name == deployment) return known.max_model_len;
    }
    return -1;
  }
  serving::RouterStatus Status() const { return gateway->pools().list()[0]->router().Status(); }
  bool Idle() const {
    const serving::RouterStatus status = Status();
    if (status.waiting + status.running + status.queue_bytes > 0) return false;
    for (const auto& deployment : status.deployments) {
      for (const auto& endpoint : deployment.endpoints) {
        if (endpoint.load != 0 || endpoint.in_flight != 0) return false;
      }
    }
    return true;
  }
  // The sum of the registry's series that begin with `name`.
  double Metric(std::string_view name) const {
    gateway->RefreshMetrics();
    return SumOf(registry.Text(), name);
  }

  // The lines of the log that hold the text.
  std::vector<std::string> LinesWith(std::string_view text) const {
    const system::MutexLock lock(said_mutex);
    std::istringstream stream(said);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) {
      if (line.find(text) != line.npos) lines.push_back(line);
    }
    return lines;
  }
  bool Said(std::string_view text) const { return !LinesWith(text).empty(); }

  system::TemporaryFolder folder;
  config::Config config;
  mutable system::Mutex said_mutex;
  std::string said HEADRACE_GUARDED_BY(said_mutex);
  telemetry::Log log{telemetry::LogLevel::kInfo, telemetry::LogFormat::kText,
                     [this](std::string_view line) {
                       const system::MutexLock lock(said_mutex);
                       said.append(line) += '\n';
                     }};
  telemetry::MetricsRegistry registry;
  std::vector<std::unique_ptr<emulator::EmulatedEngine>> engines;
  std::unique_ptr<Gateway> gateway;
};

}  // namespace headrace::gateway
