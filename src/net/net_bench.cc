// What the server, the client and a relay made of both cost on loopback. The other ends run on
// threads of their own, so the processor time of all of them is shown ("cpu_us"): it is the figure
// to compare, wall time hangs on how many cores there are.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <ctime>
#include <future>
#include <string>

#include "net/chunk_decoder.h"
#include "net/head_parser.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/test_peers.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

constexpr Seconds kLong = 60;
// Between two events of a stream: about a token's time, and enough that each is relayed on its own.
constexpr Seconds kPause = 5 * kMillisecond;

double ProcessSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

const std::string kRequest =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept-Encoding: gzip, "
    "deflate\r\n"
    "Connection: keep-alive\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
    "User-Agent: OpenAI/Python 1.40.0\r\nX-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\n"
    "X-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nAuthorization: Bearer sk-xxxxxxxx\r\n"
    "Content-Length: 1000\r\n\r\n";

void BM_ParseRequestHead(::benchmark::State& state) {
  ParsedHead head;
  for (auto _ : state) {
    ::benchmark::DoNotOptimize(FindHeadEnd(kRequest, 0));
    ::benchmark::DoNotOptimize(ParseRequestHead(kRequest, head));
  }
}
BENCHMARK(BM_ParseRequestHead);

// A read with `range(0)` chunks of the size of one token's event.
void BM_DecodeChunks(::benchmark::State& state) {
  std::string wire;
  for (int i = 0; i < state.range(0); ++i) wire += "f0\r\n" + std::string(240, 'x') + "\r\n";
  std::string buffer = wire;
  ChunkDecoder decoder;
  for (auto _ : state) {
    std::copy(wire.begin(), wire.end(), buffer.begin());
    ::benchmark::DoNotOptimize(decoder.Decode(buffer.data(), buffer.size()));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_DecodeChunks)->Arg(1)->Arg(64);

// An engine that responds at once (path /), or streams events with a pause between them (path
// /stream), and a relay before it. Each has its own thread.
class Chain {
 public:
  explicit Chain(int events) : events_(events), event_(240, 'e') {
    engine_ = *HttpServer::Listen(engine_threads_, AnyLoopbackPort(), {},
                                  [this](HttpExchange& exchange) { return Answer(exchange); });
    relay_threads_[0].Run(
        [this] { client_ = std::make_unique<HttpClient>(relay_threads_[0], HttpClientOptions{}); });
    relay_ = *HttpServer::Listen(relay_threads_, AnyLoopbackPort(), {},
                                 [this](HttpExchange& exchange) { return Relay(exchange); });
    caller_threads_[0].Run([this] {
      caller_ = std::make_unique<HttpClient>(caller_threads_[0], HttpClientOptions{});
    });
  }
  ~Chain() {
    caller_threads_[0].Run([this] { caller_.reset(); });
    relay_->Stop(0);
    relay_threads_[0].Run([this] { client_.reset(); });
    engine_->Stop(0);
  }

  const system::SocketAddress& engine() const { return engine_->address(); }
  const system::SocketAddress& relay() const { return relay_->address(); }

  double RelaySeconds() {
    timespec time;
    relay_threads_[0].Run([&] { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time); });
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  // `count` requests, `width` at a time.
  void Run(const system::SocketAddress& address, const std::string& target, const std::string& body,
           int count, int width) {
    std::promise<void> all;
    int left = count;
    int running = width;
    for (int i = 0; i < width; ++i) {
      caller_threads_[0].Spawn([&]() -> Task<void> {
        while (left > 0) {
          --left;
          HttpCall call(*caller_);
          const RequestHead head("POST", target, "h");
          const std::string_view pieces[] = {body};
          CallError error =
              co_await call.Start(address, head, pieces, system::MonotonicNow() + kLong);
          for (HttpCall::Piece piece; error == CallError::kNone && !piece.last;) {
            piece = co_await call.ReadSome(system::MonotonicNow() + kLong);
            error = piece.error;
          }
          if (error != CallError::kNone) std::abort();
        }
        if (--running == 0) all.set_value();
      });
    }
    all.get_future().wait();
  }

 private:
  Task<void> Answer(HttpExchange& exchange) {
    const ResponseHead head(200);
    if (exchange.path() == "/stream") {
      exchange.Start(head);
      for (int i = 0; i < events_; ++i) {
        if (!co_await exchange.Write(event_)) co_return;
        co_await exchange.thread().SleepUntil(system::MonotonicNow() + kPause);
      }
      co_await exchange.Finish();
    } else {
      co_await exchange.Respond(head, event_);
    }
  }

  Task<void> Relay(HttpExchange& exchange) {
    HttpCall call(*client_);
    const std::string body = std::move(exchange.body());
    const std::string_view pieces[] = {body};
    const RequestHead request("POST", exchange.target(), "engine");
    const CallError error =
        co_await call.Start(engine_->address(), request, pieces, system::MonotonicNow() + kLong);
    if (error != CallError::kNone) std::abort();
    const ResponseHead head(call.status());
    if (call.content_length() >= 0) {
      exchange.Start(head, static_cast<std::uint64_t>(call.content_length()));
    } else {
      exchange.Start(head);
    }
    for (;;) {
      const HttpCall::Piece piece = co_await call.ReadSome(system::MonotonicNow() + kLong);
      if (piece.error != CallError::kNone) std::abort();
      if (piece.last) {
        co_await exchange.WriteLast(piece.data);
        co_return;
      }
      if (!co_await exchange.Write(piece.data)) co_return;
    }
  }

  int events_;
  std::string event_;
  IoThreads engine_threads_{1};
  IoThreads relay_threads_{1};
  IoThreads caller_threads_{1};
  std::unique_ptr<HttpServer> engine_;
  std::unique_ptr<HttpServer> relay_;
  std::unique_ptr<HttpClient> client_;
  std::unique_ptr<HttpClient> caller_;
};

// `batch` calls an iteration, `width` at a time; figures are per item.
void RunChain(::benchmark::State& state, Chain& chain, bool through_relay,
              const std::string& target, const std::string& body, int batch, int width,
              int items_per_call) {
  const system::SocketAddress& address = through_relay ? chain.relay() : chain.engine();
  chain.Run(address, target, body, width, width);  // Connections are made.
  const double all = ProcessSeconds();
  const double relay = chain.RelaySeconds();
  for (auto _ : state) chain.Run(address, target, body, batch, width);
  const double items =
      static_cast<double>(state.iterations()) * static_cast<double>(batch) * items_per_call;
  state.counters["all_us"] = (ProcessSeconds() - all) / items * 1e6;
  if (through_relay) state.counters["relay_us"] = (chain.RelaySeconds() - relay) / items * 1e6;
  state.SetItemsProcessed(static_cast<std::int64_t>(items));
}

// Requests of `range(0)` bytes, 32 at a time: without and with the relay between.
void Requests(::benchmark::State& state, bool through_relay) {
  Chain chain(0);
  const std::string body(static_cast<std::size_t>(state.range(0)), 'b');
  RunChain(state, chain, through_relay, "/", body, 2000, 32, 1);
}
void BM_Direct(::benchmark::State& state) { Requests(state, false); }
void BM_Relayed(::benchmark::State& state) { Requests(state, true); }
BENCHMARK(BM_Direct)->Arg(1000)->Arg(200'000)->UseRealTime()->Unit(::benchmark::kMillisecond);
BENCHMARK(BM_Relayed)->Arg(1000)->Arg(200'000)->UseRealTime()->Unit(::benchmark::kMillisecond);

// Streams of 100 events, 128 at a time; an item is an event.
void Streams(::benchmark::State& state, bool through_relay) {
  constexpr int kEvents = 100;
  Chain chain(kEvents);
  RunChain(state, chain, through_relay, "/stream", "b", 128, 128, kEvents);
}
void BM_StreamDirect(::benchmark::State& state) { Streams(state, false); }
void BM_StreamRelayed(::benchmark::State& state) { Streams(state, true); }
BENCHMARK(BM_StreamDirect)->UseRealTime()->Unit(::benchmark::kMillisecond);
BENCHMARK(BM_StreamRelayed)->UseRealTime()->Unit(::benchmark::kMillisecond);

}  // namespace
}  // namespace headrace::net
