// What small requests meet on a gateway of one thread while another client does its worst there.
// The engines and the clients have threads of their own; on a machine with few cores some of what
// is shown is the kernel's turns among them. "quiet" is the same without the other client.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gateway/test_gateway.h"
#include "net/http_server.h"
#include "system/clock.h"

namespace headrace::gateway {
namespace {

constexpr std::size_t kUpload = std::size_t{31} << 20;

// Answers whole requests at once. Streams of its own it writes as fast as the gateway takes them,
// for as long as it takes them.
class Engine {
 public:
  Engine() {
    while (events_.size() < std::size_t{256} << 10) {
      events_ += R"(data: {"choices":[{"index":0,"delta":{"content":" token"}}]})"
                 "\n\n";
    }
    net::HttpServerOptions options;
    options.max_body_bytes = 2 * kUpload;
    server_ =
        *net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), options,
                                 [this](net::HttpExchange& exchange) { return Serve(exchange); });
  }
  std::string address() const { return server_->address().ToString(); }

 private:
  net::Task<void> Serve(net::HttpExchange& exchange) {
    net::ResponseHead head(200);
    const bool stream = exchange.body().find("\"stream\":true") != std::string::npos;
    head.Add("content-type", stream ? "text/event-stream" : "application/json");
    if (!stream) {
      co_await exchange.Respond(head, R"({"choices":[{"finish_reason":"stop"}]})");
      co_return;
    }
    exchange.Start(head);
    while (co_await exchange.Write(events_)) {
    }
  }

  std::string events_;
  net::IoThreads threads_{1};
  std::unique_ptr<net::HttpServer> server_;
};

std::string Body(const std::string& model, const std::string& more, const std::string& text) {
  return R"({"model":")" + model + "\"," + more +
         R"("max_tokens":8,"messages":[{"role":"user","content":")" + text + "\"}]}";
}

// What the other client does, again and again, until it is told to stop.
using Worst =
    std::function<void(const system::SocketAddress& gateway, const std::atomic<bool>& stop)>;

void ReadsAFlood(const system::SocketAddress& gateway, const std::atomic<bool>& stop) {
  net::RawPeer peer(gateway);
  peer.Send(PostText("/v1/chat/completions", Body("other", "\"stream\":true,", "Hi")));
  while (!stop && !peer.ReadSome().empty()) {
  }
}

void Uploads(const std::string& text, const system::SocketAddress& gateway,
             const std::atomic<bool>& stop) {
  const std::string request = PostText("/v1/chat/completions", Body("other", "", text));
  net::RawPeer peer(gateway);
  while (!stop) {
    if (!peer.Send(request) || ReadResponse(peer).status == 0) peer = net::RawPeer(gateway);
  }
}

void UploadsChunks(const system::SocketAddress& gateway, const std::atomic<bool>& stop) {
  const std::string body = Body("other", "", std::string(kUpload, 'x'));
  std::string request =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  constexpr std::size_t kChunk = 4096;
  for (std::size_t at = 0; at < body.size(); at += kChunk) {
    const std::string chunk = body.substr(at, kChunk);
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", chunk.size());
    request.append(size).append(chunk).append("\r\n");
  }
  request += "0\r\n\r\n";
  net::RawPeer peer(gateway);
  while (!stop) {
    if (!peer.Send(request) || ReadResponse(peer).status == 0) peer = net::RawPeer(gateway);
  }
}

void Pipelines(const system::SocketAddress& gateway, const std::atomic<bool>& stop) {
  std::string requests;
  while (requests.size() < std::size_t{128} << 10) {
    requests += "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
  }
  net::RawPeer peer(gateway);
  std::thread reader([&] {
    while (!peer.ReadSome().empty()) {
    }
  });
  while (!stop && peer.Send(requests)) {
  }
  peer.Shutdown();
  reader.join();
}

// Thirty requests that lack their last kilobyte, which comes byte by byte.
void Drips(const system::SocketAddress& gateway, const std::atomic<bool>& stop) {
  const std::string request =
      PostText("/v1/chat/completions", Body("other", "", std::string(kUpload, 'x')));
  const std::string_view start = std::string_view(request).substr(0, request.size() - 1024);
  std::vector<net::RawPeer> peers;
  for (int i = 0; i < 30 && !stop; ++i) {
    peers.emplace_back(gateway);
    peers.back().Send(start);
  }
  for (std::size_t at = start.size(); at < request.size() && !stop; ++at) {
    for (net::RawPeer& peer : peers) peer.Send(std::string_view(request).substr(at, 1));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void SmallRequests(::benchmark::State& state, const Worst& worst) {
  Engine engine;
  Engine other;
  TestGateway gateway;
  gateway.config.threads = 1;
  gateway.config.limits.bodies = std::size_t{2} << 30;
  gateway.config.health.interval = 5;
  gateway.config.models.push_back(gateway.config.models[0]);
  gateway.config.models[1].name = "other";
  for (config::ModelConfig& model : gateway.config.models) {
    model.policy = "least-request";
    model.deployments.emplace_back();
    model.deployments[0].name = "any";
    model.deployments[0].endpoints = {model.name == "other" ? other.address() : engine.address()};
  }
  gateway.Start();
  std::atomic<bool> stop = false;
  std::thread client([&] {
    while (worst && !stop) worst(gateway.address(), stop);
  });

  const std::string request = PostText("/v1/chat/completions", ChatBody(8, false));
  net::RawPeer peer(gateway.address());
  std::vector<double> taken;
  for (auto _ : state) {
    const Seconds start = system::MonotonicNow();
    peer.Send(request);
    if (ReadResponse(peer).status != 200) state.SkipWithError("a small request was not served");
    taken.push_back(system::MonotonicNow() - start);
  }
  stop = true;
  client.join();
  std::ranges::sort(taken);
  const auto at = [&](double share) {
    return 1e3 * taken[static_cast<std::size_t>(share * static_cast<double>(taken.size() - 1))];
  };
  state.counters["p50_ms"] = at(0.5);
  state.counters["p99_ms"] = at(0.99);
  state.counters["longest_ms"] = at(1);
}

void Register(const char* name, Worst worst) {
  ::benchmark::RegisterBenchmark(
      name, [worst = std::move(worst)](::benchmark::State& state) { SmallRequests(state, worst); })
      ->UseRealTime()
      ->MinTime(3);
}

[[maybe_unused]] const bool registered = [] {
  const auto uploads = [](std::string prompt) -> Worst {
    return [prompt = std::move(prompt)](const auto& gateway, const auto& stop) {
      Uploads(prompt, gateway, stop);
    };
  };
  Register("quiet", {});
  Register("a stream that floods", ReadsAFlood);
  Register("uploads of 31 MiB", uploads(std::string(kUpload, 'x')));
  std::string escapes;
  while (escapes.size() < kUpload) escapes += "\\u00e9";
  Register("uploads of 31 MiB of escapes", uploads(escapes));
  Register("uploads of 31 MiB in chunks", UploadsChunks);
  Register("pipelined requests", Pipelines);
  Register("30 uploads that drip", Drips);
  return true;
}();

}  // namespace
}  // namespace headrace::gateway
