// What one request costs the picker, as Envoy brings it: one stream, FULL_DUPLEX_STREAMED in both
// directions, request and response. The picker runs in a process of its own with one thread; what
// is reported is that process's CPU time.
#include <benchmark/benchmark.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "extproc/test_envoy.h"
#include "system/clock.h"

namespace headrace::extproc {
namespace {

constexpr int kInFlight = 64;

// Engines that only say that they are well, at every address of this machine.
class Engines {
 public:
  Engines() : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener_, any, size) != 0 || listen(listener_, 1024) != 0) std::abort();
    getsockname(listener_, any, &size);
    port_ = ntohs(address.sin_port);
  }
  // After the pickers' processes have begun.
  void Serve() {
    std::thread([this] {
      for (std::vector<pollfd> open = {{listener_, POLLIN, 0}};;) {
        poll(open.data(), open.size(), -1);
        if (open[0].revents != 0) open.push_back({accept(listener_, nullptr, nullptr), POLLIN, 0});
        std::erase_if(open, [this](const pollfd& peer) {
          return peer.fd != listener_ && peer.revents != 0 && !Answer(peer.fd);
        });
      }
    }).detach();
  }
  std::uint16_t port() const { return port_; }

 private:
  static bool Answer(int peer) {
    static constexpr std::string_view kWell = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    char request[4096];
    if (read(peer, request, sizeof request) > 0 &&
        write(peer, kWell.data(), kWell.size()) == std::ssize(kWell)) {
      return true;
    }
    close(peer);
    return false;
  }

  const int listener_;
  std::uint16_t port_ = 0;
};

void AddEndpoints(int count, std::uint16_t port, TestPicker& picker) {
  for (int i = 0; i < count; ++i) {
    picker.AddEndpoint("a10", "127.0." + std::to_string(1 + i / 250) + "." +
                                  std::to_string(1 + i % 250) + ":" + std::to_string(port));
  }
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The picker's process: begun before this one has any of gRPC's threads, ended with it.
class PickerProcess {
 public:
  PickerProcess(int endpoints, std::uint16_t port) {
    int asked[2];
    int told[2];
    if (pipe(asked) != 0 || pipe(told) != 0) std::abort();
    process_ = fork();
    if (process_ == 0) {
      close(asked[1]);
      close(told[0]);
      Serve(endpoints, port, asked[0], told[1]);
    }
    close(asked[0]);
    close(told[1]);
    ask_ = asked[1];
    told_ = told[0];
    port_ = static_cast<int>(Told());
  }
  ~PickerProcess() {
    close(ask_);
    waitpid(process_, nullptr, 0);
  }

  int port() const { return port_; }
  // Its CPU time so far.
  double Cpu() {
    const char question = 'c';
    if (write(ask_, &question, 1) != 1) std::abort();
    return Told();
  }

 private:
  [[noreturn]] static void Serve(int endpoints, std::uint16_t port, int asked, int told) {
    TestPicker picker;
    picker.config.threads = 1;
    picker.config.models[0].policy = "slo-headroom";
    picker.config.health = {};
    AddEndpoints(endpoints, port, picker);
    picker.StartPicker();
    const auto tell = [told](double value) {
      if (write(told, &value, sizeof value) != sizeof value) _exit(1);
    };
    tell(picker.picker->port());
    char question = 0;
    while (read(asked, &question, 1) == 1) tell(CpuSeconds());
    _exit(0);
  }
  double Told() {
    double value = 0;
    if (read(told_, &value, sizeof value) != sizeof value) std::abort();
    return value;
  }

  pid_t process_ = 0;
  int ask_ = -1;
  int told_ = -1;
  int port_ = 0;
};

struct Pickers {
  Pickers() { engines.Serve(); }
  Engines engines;
  PickerProcess one{1, engines.port()};
  PickerProcess thousand{1000, engines.port()};
};
Pickers pickers;  // Before anything of gRPC's in this process.

// --- Envoy

struct Exchange {
  std::vector<grpc::ByteBuffer> request;   // Its head and body …
  std::vector<grpc::ByteBuffer> response;  // … and the response's.
};

grpc::ByteBuffer BytesOf(const ProcessingRequest& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// As Envoy cuts them.
template <typename Make>
void AddBody(std::string_view body, Make make, std::vector<grpc::ByteBuffer>& messages) {
  constexpr std::size_t kChunk = std::size_t{16} << 10;
  while (!body.empty()) {
    const std::string_view chunk = body.substr(0, kChunk);
    body.remove_prefix(chunk.size());
    messages.push_back(BytesOf(make(chunk, body.empty())));
  }
}

Exchange MakeExchange(std::size_t prompt_bytes, int events) {
  const HeaderList headers = {{":scheme", "https"},
                              {"accept", "application/json"},
                              {"authorization", "Bearer sk-0123456789abcdef0123456789abcdef"},
                              {"user-agent", "OpenAI/Python 1.109.1"},
                              {"x-forwarded-for", "203.0.113.7"},
                              {"x-forwarded-proto", "https"},
                              {"x-request-id", "5e0a2c4e-7f0f-4d53-8f6a-3b1f0d7f9c11"},
                              {"x-envoy-expected-rq-timeout-ms", "600000"},
                              {"content-length", std::to_string(prompt_bytes)}};
  std::string body = gateway::ChatBody(64, events > 0);
  body.insert(body.find("How deep"), prompt_bytes - std::min(prompt_bytes, body.size()), 'w');
  Exchange exchange;
  exchange.request.push_back(BytesOf(RequestHeaders({}, headers)));
  AddBody(body, RequestBody, exchange.request);
  exchange.response.push_back(BytesOf(ResponseHeaders(
      {{":status", "200"},
       {"date", "Sat, 28 Nov 2026 16:00:00 GMT"},
       {"server", "uvicorn"},
       {"content-type", events > 0 ? "text/event-stream; charset=utf-8" : "application/json"},
       {"x-envoy-upstream-service-time", "12"}})));
  if (events == 0) {
    exchange.response.push_back(BytesOf(ResponseBody(
        R"({"choices":[{"message":{"role":"assistant","content":"Deep."},"finish_reason":"stop"}],)"
        R"("usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}})",
        true)));
  }
  const grpc::ByteBuffer token = BytesOf(ResponseBody(
      R"(data: {"id":"chatcmpl-9f3e","object":"chat.completion.chunk","created":1764345600,)"
      R"("model":"llama2-7b","choices":[{"index":0,"delta":{"content":" deep"},)"
      R"("finish_reason":null}]})"
      "\n\n",
      false));
  for (int i = 0; i < events; ++i) exchange.response.push_back(token);
  if (events > 0) {
    exchange.response.push_back(BytesOf(ResponseBody(
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2}}\n\n"
        "data: [DONE]\n\n",
        true)));
  }
  return exchange;
}

// One stream after the other.
class Client {
 public:
  enum What { kBegun, kWritten, kRead, kDone };
  struct Event {
    Client* client;
    What what;
  };

  Client(grpc::GenericStub& stub, grpc::CompletionQueue& queue, const Exchange& exchange)
      : stub_(stub), queue_(queue), exchange_(exchange) {}

  void Begin() {
    stream_.reset();  // It lies in the call's memory.
    call_.emplace();
    stream_ =
        stub_.PrepareCall(&*call_, "/envoy.service.ext_proc.v3.ExternalProcessor/Process", &queue_);
    at_ = 0;
    responding_ = false;
    began_ = system::MonotonicNow();
    stream_->StartCall(Tag(kBegun));
  }
  void Leave() {
    if (call_) call_->TryCancel();
  }
  // Whether the stream has ended.
  bool On(What what, bool ok) {
    --pending_;
    switch (what) {
      case kBegun:
        Read();
        Write();
        break;
      case kWritten:
        if (ok) Write();
        break;
      case kRead:
        if (ok) TakeReply();
        break;
      case kDone:
        break;
    }
    return pending_ == 0;
  }
  Seconds decided() const { return decided_; }
  int failed() const { return failed_; }

 private:
  void* Tag(What what) {
    ++pending_;
    return &events_[what];
  }
  void Read() { stream_->Read(&reply_, Tag(kRead)); }
  void Write() {
    const auto& messages = responding_ ? exchange_.response : exchange_.request;
    if (at_ == messages.size()) return;
    const grpc::ByteBuffer& message = messages[at_++];
    stream_->Write(message, Tag(kWritten));
  }
  void TakeReply() {
    ProcessingResponse reply;
    grpc::ProtoBufferReader reader(&reply_);
    reply.ParseFromZeroCopyStream(&reader);
    if (reply.has_immediate_response()) ++failed_;
    const auto ends = [](const envoy::service::ext_proc::v3::BodyResponse& body) {
      return body.response().body_mutation().streamed_response().end_of_stream();
    };
    if (reply.has_request_body() && ends(reply.request_body())) {
      decided_ = system::MonotonicNow() - began_;
      responding_ = true;
      at_ = 0;
      Write();
    }
    if (reply.has_immediate_response() ||
        (reply.has_response_body() && ends(reply.response_body()))) {
      call_->TryCancel();  // As Envoy does.
      stream_->Finish(&status_, Tag(kDone));
      return;
    }
    Read();
  }

  grpc::GenericStub& stub_;
  grpc::CompletionQueue& queue_;
  const Exchange& exchange_;
  std::optional<grpc::ClientContext> call_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  grpc::ByteBuffer reply_;
  grpc::Status status_;
  Event events_[4] = {{this, kBegun}, {this, kWritten}, {this, kRead}, {this, kDone}};
  std::size_t at_ = 0;
  bool responding_ = false;
  int pending_ = 0;
  int failed_ = 0;
  Seconds began_ = 0;
  Seconds decided_ = 0;
};

// Envoy's side: as many streams as there are clients, over one connection.
struct Envoy {
  Envoy(int port, const Exchange& exchange, int most) {
    channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                  grpc::InsecureChannelCredentials());
    stub = std::make_unique<grpc::GenericStub>(channel);
    for (int i = 0; i < most; ++i) {
      clients.push_back(std::make_unique<Client>(*stub, queue, exchange));
    }
  }
  ~Envoy() {
    for (const auto& client : clients) client->Leave();
    queue.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) {
    }
  }
  // The client whose stream has ended; null if none has by then.
  Client* Next(Seconds until) {
    for (;;) {
      Client::Event* event = nullptr;
      bool ok = false;
      const auto patience = std::chrono::duration<double>(until - system::MonotonicNow());
      const auto deadline =
          std::chrono::system_clock::now() +
          std::chrono::duration_cast<std::chrono::system_clock::duration>(patience);
      const auto status = queue.AsyncNext(reinterpret_cast<void**>(&event), &ok, deadline);
      if (status != grpc::CompletionQueue::GOT_EVENT) return nullptr;
      if (event->client->On(event->what, ok)) return event->client;
    }
  }

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<grpc::GenericStub> stub;
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<Client>> clients;
};

// As many requests as go, 64 at a time.
void Flood(benchmark::State& state, std::size_t prompt_bytes, int events) {
  const Exchange exchange = MakeExchange(prompt_bytes, events);
  Envoy envoy(pickers.one.port(), exchange, kInFlight);
  for (const auto& client : envoy.clients) client->Begin();
  const auto one = [&envoy] {
    Client* const ended = envoy.Next(system::MonotonicNow() + 20);
    if (ended == nullptr) std::abort();
    ended->Begin();
  };
  for (int i = 0; i < 2 * kInFlight; ++i) one();
  const double before = pickers.one.Cpu();
  for (auto _ : state) one();
  const double cpu = pickers.one.Cpu() - before;
  const auto requests = static_cast<double>(state.iterations());
  int failed = 0;
  for (const auto& client : envoy.clients) failed += client->failed();
  state.counters["picker_us"] = cpu / requests * 1e6;
  state.counters["per_core"] = requests / cpu;
  state.counters["failed"] = failed;
  if (events > 0) state.counters["us_per_event"] = cpu / requests / events * 1e6;
}

// At a fixed rate: how long Envoy waits for the endpoint and the last byte of the body.
void Paced(benchmark::State& state) {
  const auto rate = static_cast<double>(state.range(0));
  const Exchange exchange = MakeExchange(1000, 0);
  Envoy envoy(pickers.one.port(), exchange, 1000);
  std::vector<Client*> idle;
  for (const auto& client : envoy.clients) idle.push_back(client.get());
  std::vector<Seconds> times;
  double cpu = 0;
  for (auto _ : state) {
    const double before = pickers.one.Cpu();
    const Seconds begin = system::MonotonicNow();
    const auto most = static_cast<std::size_t>(rate * 5);
    for (std::size_t begun = 0; times.size() < most;) {
      const Seconds due = begin + static_cast<double>(begun) / rate;
      if (begun < most && due <= system::MonotonicNow() && !idle.empty()) {
        idle.back()->Begin();
        idle.pop_back();
        ++begun;
        continue;
      }
      Client* const ended = envoy.Next(begun < most ? due : system::MonotonicNow() + 20);
      if (ended == nullptr) continue;
      times.push_back(ended->decided());
      idle.push_back(ended);
    }
    cpu += pickers.one.Cpu() - before;
  }
  std::ranges::sort(times);
  state.counters["p50_ms"] = times[times.size() / 2] * 1e3;
  state.counters["p99_ms"] = times[times.size() * 99 / 100] * 1e3;
  state.counters["picker_us"] = cpu / static_cast<double>(times.size()) * 1e6;
}

// One stream whose events come one at a time, so that each wakes a picker that sleeps. So many
// more connections are idle.
void LoneEvent(benchmark::State& state) {
  std::vector<std::shared_ptr<grpc::Channel>> idle;
  for (int i = 0; i < state.range(0); ++i) {
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    idle.push_back(grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(pickers.one.port()),
                                             grpc::InsecureChannelCredentials(), own));
    idle.back()->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20));
  }
  const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(pickers.one.port()),
                                           grpc::InsecureChannelCredentials());
  const auto stub = ExternalProcessor::NewStub(channel);
  EnvoyStream stream(*stub, std::chrono::minutes(1));
  stream.Send(RequestHeaders({}));
  stream.Send(RequestBody(gateway::ChatBody(64, true), true));
  for (int i = 0; i < 2; ++i) stream.Receive();
  stream.Send(ResponseHeaders({{":status", "200"}, {"content-type", "text/event-stream"}}));
  stream.Receive();
  const ProcessingRequest event = ResponseBody(
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" deep\"}}]}\n\n", false);
  const double before = pickers.one.Cpu();
  for (auto _ : state) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    stream.Send(event);
    if (!stream.Receive().has_response_body()) std::abort();
  }
  state.counters["us_per_event"] =
      (pickers.one.Cpu() - before) / static_cast<double>(state.iterations()) * 1e6;
}

// Nothing happens, before 1,000 endpoints. When the picker begins it asks each of them what it is.
void Idle(benchmark::State& state) {
  std::this_thread::sleep_for(std::chrono::seconds(10));
  for (auto _ : state) {
    const double before = pickers.thousand.Cpu();
    std::this_thread::sleep_for(std::chrono::seconds(10));
    state.counters["core_percent"] = (pickers.thousand.Cpu() - before) / 10 * 100;
  }
}

BENCHMARK_CAPTURE(Flood, OneKilobyte, 1000, 0);
BENCHMARK_CAPTURE(Flood, TwoHundredTwentyKilobytes, 220'000, 0);
BENCHMARK_CAPTURE(Flood, FourHundredKilobytes, 400'000, 0);
BENCHMARK_CAPTURE(Flood, TenThousandEvents, 1000, 10'000)->Iterations(100);
BENCHMARK(LoneEvent)->Arg(0)->Arg(200)->Iterations(2000);
BENCHMARK(Paced)->Arg(4000)->Iterations(1);
BENCHMARK(Idle)->Iterations(1);

}  // namespace
}  // namespace headrace::extproc
