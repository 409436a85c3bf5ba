// Engines that are more than an address: TLS, keys, base paths, limits, names.
#include <gmock/gmock.h>

#include <atomic>

#include "discovery/named_endpoints.h"
#include "gateway/configured_endpoints.h"
#include "gateway/test_gateway.h"
#include "net/test_certificates.h"
#include "net/test_fault_engine.h"
#include "net/tls_server.h"

namespace headrace::gateway {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kWhole =
    R"({"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",)"
    R"("content":"deep"},"finish_reason":"stop"}],)"
    R"("usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}})";

// Serves chat over TLS below /llm, and remembers what it was asked.
class TlsEngine {
 public:
  TlsEngine() {
    const net::TestCertificate own = ca_.Issue("IP:127.0.0.1");
    net::HttpServerOptions options;
    options.stream_factory = net::TlsServerStreams(
        *net::TlsContext::ForServer({.certificate = own.certificate, .key = own.key}));
    server_ =
        *net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), options,
                                 [this](net::HttpExchange& exchange) { return Serve(exchange); });
  }

  const net::TestCa& ca() const { return ca_; }
  std::string address() const { return server_->address().ToString(); }
  // `METHOD target|host|authorization|x-team` each.
  std::vector<std::string> requests() const {
    const system::MutexLock lock(mutex_);
    return requests_;
  }
  bool WasAsked(const std::string& request) const {
    const auto all = requests();
    return std::ranges::find(all, request) != all.end();
  }

 private:
  net::Task<void> Serve(net::HttpExchange& exchange) {
    {
      const system::MutexLock lock(mutex_);
      requests_.push_back(std::string(exchange.method()) + " " + std::string(exchange.target()) +
                          "|" + std::string(exchange.Header("host")) + "|" +
                          std::string(exchange.Header("authorization")) + "|" +
                          std::string(exchange.Header("x-team")));
    }
    const bool chat = exchange.path() == "/llm/v1/chat/completions";
    net::ResponseHead head(chat || exchange.path() == "/llm/health" ? 200 : 404);
    if (chat && exchange.body().find("\"stream\":true") != std::string::npos) {
      head.Add("content-type", "text/event-stream");
      exchange.Start(head);
      for (int i = 0; i < 3; ++i) {
        co_await exchange.Write(
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"deep\"}}]}\n\n");
      }
      co_await exchange.WriteLast("data: [DONE]\n\n");
      co_return;
    }
    head.Add("content-type", "application/json");
    co_await exchange.Respond(head, chat ? kWhole : "{}");
  }

  net::TestCa ca_;
  net::IoThreads threads_{1};
  mutable system::Mutex mutex_;
  std::vector<std::string> requests_ HEADRACE_GUARDED_BY(mutex_);
  std::unique_ptr<net::HttpServer> server_;
};

serving::RouterStatus::EndpointStatus FirstOf(const TestGateway& t) {
  return t.Status().deployments.at(0).endpoints.at(0);
}

class HttpsEngine : public ::testing::Test {
 protected:
  HttpsEngine() {
    t_.config.models[0].policy = "least-request";
    t_.folder.Write("ca.pem", engine_.ca().certificate());
    t_.AddEndpoint("a10", "https://" + engine_.address() + "/llm");
    endpoint().tls.emplace().ca = (t_.folder.path() / "ca.pem").string();
  }
  config::EndpointConfig& endpoint() { return t_.config.models[0].deployments[0].endpoints[0]; }

  TlsEngine engine_;
  TestGateway t_;
};

TEST_F(HttpsEngine, IsServedWithAKeyAndABasePath) {
  endpoint().api_key = "engine-key";
  endpoint().headers = {"X-Team: search"};
  t_.Start();
  const HttpResponse whole =
      t_.Chat(ChatBody(5, false), {"Authorization: Bearer client-key", "X-Team: other"});
  EXPECT_EQ(whole.status, 200) << whole.body;
  EXPECT_EQ(whole.body, kWhole);
  const HttpResponse streamed = t_.Chat(ChatBody(5, true));
  EXPECT_EQ(streamed.status, 200);
  EXPECT_THAT(streamed.body, HasSubstr("data: [DONE]"));
  const std::string behind = "|" + engine_.address() + "|Bearer engine-key|search";
  ASSERT_TRUE(Eventually([&] { return engine_.WasAsked("GET /llm/metrics" + behind); }));
  EXPECT_TRUE(engine_.WasAsked("GET /llm/health" + behind));
  EXPECT_TRUE(engine_.WasAsked("GET /llm/v1/models" + behind));
  EXPECT_TRUE(engine_.WasAsked("POST /llm/v1/chat/completions" + behind));
  EXPECT_THAT(engine_.requests(), Each(HasSubstr(behind)));
  EXPECT_FALSE(t_.Said("engine-key"));
}

TEST_F(HttpsEngine, WhoseCertificateIsNotTrustedIsDownAndTheReasonIsSaid) {
  endpoint().tls->ca.clear();
  t_.Start();
  ASSERT_TRUE(Eventually([&] { return !FirstOf(t_).up; }));
  EXPECT_THAT(FirstOf(t_).fault, HasSubstr("signed by a CA that is not known here"));
  EXPECT_EQ(t_.Chat(ChatBody(5, false)).status, 503);
  EXPECT_THAT(engine_.requests(), IsEmpty()) << "nothing is sent to it";
}

TEST_F(HttpsEngine, ThatIsTakenForPlainHttpIsDownAndTheReasonIsSaid) {
  // It answers with an alert, as most do.
  net::RawListener listener;
  std::thread answers([&] {
    for (;;) {
      net::RawPeer peer = listener.Accept();
      if (!peer.open()) return;
      peer.ReadUntil("\r\n\r\n");
      peer.Send(std::string("\x15\x03\x03\x00\x02\x02\x0a", 7));
    }
  });
  endpoint() = config::EndpointConfig(listener.address().ToString());
  t_.Start();
  EXPECT_TRUE(Eventually([&] { return !FirstOf(t_).up; }));
  EXPECT_THAT(FirstOf(t_).fault, HasSubstr("https://"));
  t_.gateway.reset();
  listener.Shutdown();
  answers.join();
}

TEST_F(HttpsEngine, IsTakenUncheckedOnlyWithAWarning) {
  endpoint().tls->ca.clear();
  endpoint().tls->verify = false;
  t_.Start();
  EXPECT_EQ(t_.Chat(ChatBody(5, false)).status, 200);
  EXPECT_TRUE(t_.Said("tls.verify is false"));
}

// What stays as it is keeps its connections and its health when another configuration comes.
TEST_F(HttpsEngine, StaysTheSameWhenTheConfigurationComesAgain) {
  t_.Start();
  const auto before = t_.gateway->pools().list()[0]->router().Endpoints()[0];
  ASSERT_TRUE(t_.gateway->Apply(t_.config));
  EXPECT_EQ(t_.gateway->pools().list()[0]->router().Endpoints()[0], before);
  endpoint().api_key = "a-key";
  ASSERT_TRUE(t_.gateway->Apply(t_.config));
  EXPECT_NE(t_.gateway->pools().list()[0]->router().Endpoints()[0], before);
}

TEST_F(HttpsEngine, AKeyInAFileIsReadAgain) {
  t_.folder.Write("key", "first\n");
  endpoint().api_key_file = (t_.folder.path() / "key").string();
  t_.Start();
  ASSERT_TRUE(Eventually(
      [&] { return engine_.WasAsked("GET /llm/health|" + engine_.address() + "|Bearer first|"); }));
  t_.folder.Write("key", "second\n");
  ASSERT_TRUE(Eventually([&] {
    return engine_.WasAsked("GET /llm/health|" + engine_.address() + "|Bearer second|");
  }));
}

TEST_F(HttpsEngine, AFileThatIsMissingStopsTheStart) {
  endpoint().tls->ca += ".gone";
  EXPECT_FALSE(CheckEndpoints(t_.config));
  const auto started = Gateway::Start(t_.config, t_.log, t_.registry);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, AllOf(HasSubstr("endpoints[https://"), HasSubstr("].tls: "),
                                             HasSubstr("ca.pem.gone")));
}

// --- Health

TEST(HealthPath, ThatIsMissingIsDownAndTheOptionIsNamed) {
  net::FaultEngine engine(net::WholeAnswer(200, kWhole));
  engine.SetHealth(404);
  TestGateway t;
  t.AddEndpoint("a10", engine.address());
  t.Start();
  ASSERT_TRUE(Eventually([&] { return !FirstOf(t).up; }));
  EXPECT_EQ(FirstOf(t).fault,
            "/health responds with status 404; if it has no such page, set `health_path` to one "
            "that it has, or to `none`");
  EXPECT_TRUE(t.Said("set `health_path`"));
}

TEST(HealthPath, WithoutOneAnEndpointIsUpIfAConnectionCanBeMade) {
  net::FaultEngine engine(net::WholeAnswer(200, kWhole));
  engine.SetHealth(404);
  TestGateway t;
  t.config.models[0].policy = "least-request";
  t.AddEndpoint("a10", engine.address());
  t.config.models[0].deployments[0].health_path = "none";
  t.Start();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 200);
    EXPECT_TRUE(FirstOf(t).up);
  }
}

// --- Limits and weights

TEST(EndpointOptions, ALimitAndAWeightAreTheEndpointsOwn) {
  TestGateway t;
  t.config.models[0].policy = "least-request";
  for (int i = 0; i < 3; ++i) t.AddEngine("a10", 0.01);
  auto& endpoints = t.config.models[0].deployments[0].endpoints;
  endpoints[0].max_in_flight = 1;
  endpoints[2].weight = 2;
  t.Start();
  std::vector<net::RawPeer> clients;
  for (int i = 0; i < 10; ++i) {
    clients.emplace_back(t.address());
    clients.back().Send(PostText("/v1/chat/completions", ChatBody(1000, true)));
    ASSERT_TRUE(Eventually([&] { return t.Status().running == clients.size(); }));
  }
  const auto status = t.Status().deployments[0].endpoints;
  EXPECT_EQ(status[0].in_flight, 1);
  EXPECT_EQ(status[1].in_flight, 3);
  EXPECT_EQ(status[2].in_flight, 6);
}

// --- Names

TEST(Names, AnAddressThatChangesUnderLoadLosesNothing) {
  struct Table {
    std::atomic<bool> moved = false;
  };
  const auto table = std::make_shared<Table>();
  const auto resolver = std::make_shared<discovery::NameResolver>(
      [table](const system::HostPort& name) -> Result<std::vector<system::SocketAddress>> {
        return std::vector{*system::Resolve({table->moved ? "127.0.0.2" : "127.0.0.1", name.port})};
      },
      0.01);
  TestGateway t;
  t.config.models[0].policy = "least-request";
  emulator::EmulatedEngine& before = t.AddEngine("a10", 20);
  emulator::EmulatedEngineOptions options;
  options.model = "llama2-7b";
  options.engine = *engine::GpuCatalog::Parse(engine::ShippedGpuCatalog(), "gpus.json")
                        ->Engine("a10", "llama2-7b", 0);
  options.speed = 20;
  options.listen = *system::Resolve({"127.0.0.2", before.address().port()});
  const auto after = *emulator::EmulatedEngine::Start(options);
  const discovery::NamedEndpoint endpoint = {
      .url = *system::ParseHttpUrl("engine.test:" + std::to_string(before.address().port()))};
  auto source = std::make_unique<discovery::NamedEndpoints>(
      std::vector<discovery::NamedDeployment>{
          {.name = "a10", .max_in_flight = 512, .endpoints = {endpoint}}},
      resolver);
  source->Refresh(system::MonotonicNow());
  resolver->Wait(20);
  source->Refresh(system::MonotonicNow());
  t.Start(std::move(source));

  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      while (!stop) failed += t.Chat(ChatBody(20, true)).complete ? 0 : 1;
    });
  }
  EXPECT_TRUE(Eventually([&] { return RunningAt(before) > 0; }));
  table->moved = true;
  EXPECT_TRUE(Eventually([&] { return RunningAt(*after) > 0 && RunningAt(before) == 0; }));
  EXPECT_EQ(t.Status().deployments[0].endpoints.size(), 1U);
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(failed, 0);
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
}

}  // namespace
}  // namespace headrace::gateway
