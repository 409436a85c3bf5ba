// What changes while the gateway runs: its fleet and its configuration.
#include <gmock/gmock.h>

#include <atomic>
#include <optional>

#include "config/difference.h"
#include "gateway/test_gateway.h"
#include "net/http_server.h"
#include "net/test_fault_engine.h"
#include "net/test_one_shot.h"

namespace headrace::gateway {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Endpoints that the test sets.
class ListedEndpoints final : public discovery::EndpointSource {
 public:
  struct List {
    system::Mutex mutex;
    discovery::EndpointSnapshot snapshot HEADRACE_GUARDED_BY(mutex);

    // Of one deployment, "a10".
    void Set(const std::vector<system::SocketAddress>& addresses) {
      const system::MutexLock lock(mutex);
      snapshot = {{"a10", 512, {}}};
      for (const system::SocketAddress& address : addresses) {
        snapshot[0].endpoints.push_back({address.ToString(), address});
      }
    }
  };

  explicit ListedEndpoints(List& list) : list_(list) { Refresh(0); }
  bool Refresh(Seconds /*now*/) override {
    const system::MutexLock lock(list_.mutex);
    return Publish(list_.snapshot, "");
  }

 private:
  List& list_;
};

// Counts the probes of its health.
class ProbedEngine {
 public:
  ProbedEngine()
      : server_(*net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), {},
                                         [this](net::HttpExchange& exchange) -> net::Task<void> {
                                           ++probes_;
                                           const net::ResponseHead head(200);
                                           co_await exchange.Respond(head, "");
                                         })) {}

  const system::SocketAddress& address() const { return server_->address(); }
  int probes() const { return probes_; }

 private:
  std::atomic<int> probes_ = 0;
  net::IoThreads threads_{1};
  std::unique_ptr<net::HttpServer> server_;
};

// Streams one token of its one response, and the end when the test says so.
class HeldEngine {
 public:
  HeldEngine()
      : server_(*net::HttpServer::Listen(
            threads_, net::AnyLoopbackPort(), {},
            [this](net::HttpExchange& exchange) { return Serve(exchange); })) {}

  const system::SocketAddress& address() const { return server_->address(); }
  // Once the response has begun.
  void Finish() {
    const system::MutexLock lock(mutex_);
    finish_->Set(true);
  }

 private:
  net::Task<void> Serve(net::HttpExchange& exchange) {
    net::ResponseHead head(200);
    if (exchange.method() == "GET") {  // A probe.
      co_await exchange.Respond(head, "");
      co_return;
    }
    net::OneShot<bool> told(exchange.thread());
    {
      const system::MutexLock lock(mutex_);
      finish_ = told.setter();
    }
    head.Add("content-type", "text/event-stream");
    exchange.Start(head);
    co_await exchange.Write("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
    co_await told.Wait(kNever);
    co_await exchange.WriteLast("data: [DONE]\n\n");
  }

  system::Mutex mutex_;
  std::optional<net::OneShot<bool>::Setter> finish_ HEADRACE_GUARDED_BY(mutex_);
  net::IoThreads threads_{1};
  std::unique_ptr<net::HttpServer> server_;
};

std::vector<std::string> EndpointsShown(const TestGateway& t) {
  std::vector<std::string> shown;
  for (const auto& deployment : t.Status().deployments) {
    for (const auto& endpoint : deployment.endpoints) {
      shown.push_back(endpoint.address + (endpoint.retired ? " retired" : ""));
    }
  }
  return shown;
}

bool HasSeriesOf(const TestGateway& t, const system::SocketAddress& endpoint) {
  return t.registry.Text().find("endpoint=\"" + endpoint.ToString()) != std::string::npos;
}

// --- The fleet

TEST(FleetChanges, RequestsAtAnEndpointThatLeavesFinishAndNewOnesGoElsewhere) {
  TestGateway t;
  HeldEngine old_engine;
  const system::SocketAddress old = old_engine.address();
  const system::SocketAddress fresh = t.AddEngine("a10").address();
  ListedEndpoints::List list;
  list.Set({old});
  t.Start(std::make_unique<ListedEndpoints>(list));
  EXPECT_TRUE(HasSeriesOf(t, old));
  EXPECT_FALSE(HasSeriesOf(t, fresh));
  net::RawPeer client(t.address());
  client.Send(PostChat(2000, true));
  ASSERT_THAT(client.ReadUntil("data: "), HasSubstr("target-pod: " + old.ToString()));

  list.Set({fresh});
  ASSERT_TRUE(Eventually([&] { return HasSeriesOf(t, fresh); }));
  EXPECT_FALSE(HasSeriesOf(t, old));
  EXPECT_THAT(EndpointsShown(t), ElementsAre(old.ToString() + " retired", fresh.ToString()));
  EXPECT_EQ(t.Chat(ChatBody(5, false)).Header("target-pod"), fresh.ToString());

  old_engine.Finish();
  EXPECT_THAT(client.ReadUntil("[DONE]"), HasSubstr("[DONE]"));
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
  EXPECT_THAT(EndpointsShown(t), ElementsAre(fresh.ToString()));
}

TEST(FleetChanges, HealthIsProbedWhereTheFleetIs) {
  TestGateway t;
  t.config.health.interval = 0.1;
  const ProbedEngine old;
  const ProbedEngine fresh;
  t.AddEndpoint("a10", old.address().ToString());
  ListedEndpoints::List list;
  list.Set({old.address()});
  t.Start(std::make_unique<ListedEndpoints>(list));
  ASSERT_TRUE(Eventually([&] { return old.probes() > 2; }));
  EXPECT_EQ(fresh.probes(), 0);
  list.Set({fresh.address()});
  ASSERT_TRUE(Eventually([&] { return fresh.probes() > 0; }));
  const int before = old.probes();
  ASSERT_TRUE(Eventually([&] { return fresh.probes() > 5; }));
  EXPECT_LE(old.probes(), before + 1) << "one may have been on its way";
}

TEST(FleetChanges, AnUnknownNameIsAnEndpointThatIsDown) {
  TestGateway t;
  t.config.models[0].policy = "least-request";
  t.AddEngine("a10");
  t.AddEndpoint("a10", "no-such-host.invalid:1");
  t.Start();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 200);
  ASSERT_TRUE(Eventually([&] {
    const auto status = t.Status().deployments[0].endpoints[1];
    return status.fault.find("\"no-such-host.invalid\" can't be resolved") != std::string::npos;
  }));
  EXPECT_FALSE(t.Status().deployments[0].endpoints[1].up);
  EXPECT_EQ(t.Metric("headrace_endpoint_up{"), 1);
  EXPECT_TRUE(t.Said("endpoint no-such-host.invalid:1 of llama2-7b/a10 is down: host"));
}

// --- Contexts

TEST(Contexts, AreLearnedFromTheEnginesAndARequestGoesWhereItFits) {
  TestGateway t;
  t.config.models[0].policy = "least-request";
  t.AddEngine("short", 1000, "a10", 512);
  t.AddEngine("short", 1000, "a10", 256);
  const emulator::EmulatedEngine& fits = t.AddEngine("long", 1000, "a10", 2048);
  t.Start();
  ASSERT_TRUE(
      Eventually([&] { return t.ContextOf("short") == 256 && t.ContextOf("long") == 2048; }));
  for (int i = 0; i < 4; ++i) {
    const HttpResponse response = t.Chat(ChatBody(1000, false), {"x-headrace-output-tokens: 5"});
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.Header("target-pod"), fits.address().ToString());
  }
  // What fits nowhere is refused by an engine, in its own words.
  const HttpResponse too_long = t.Chat(ChatBody(3000, false));
  EXPECT_EQ(too_long.status, 400);
  EXPECT_EQ(too_long.Header("target-pod"), fits.address().ToString());
  EXPECT_THAT(too_long.body, HasSubstr("context length is 2048"));
}

TEST(KvRoom, IsReadFromTheEnginesMetrics) {
  TestGateway t;
  t.AddEngine("a10", 1000, "a10");
  t.AddEngine("l20", 1000, "l20");
  t.AddEngine("fixed", 1000, "a10");
  t.config.models[0].deployments[2].kv_tokens = 1234;
  t.Start();
  const auto room = [&](std::size_t deployment) {
    return t.Status().deployments[deployment].kv_tokens;
  };
  EXPECT_TRUE(Eventually([&] { return room(0) > 0 && room(1) > 2 * room(0); }));
  EXPECT_EQ(room(2), 1234) << "the configuration wins";
}

TEST(Contexts, TheConfigurationWinsAndChangesLive) {
  TestGateway t;
  t.AddEngine("short", 1000, "a10", 512);
  t.config.models[0].deployments[0].max_model_len = 100;
  t.Start();
  ASSERT_EQ(t.ContextOf("short"), 100);
  config::Config changed = t.config;
  changed.models[0].deployments[0].max_model_len = 0;
  ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
  EXPECT_TRUE(Eventually([&] { return t.ContextOf("short") == 512; }));
}

TEST(Contexts, ARefusalSaysWhichAreTooShort) {
  TestGateway t;
  t.AddEngine("short", 1000, "a10", 512);
  t.AddEngine("long", 1000, "a10", 2048);
  t.Start();
  ASSERT_TRUE(
      Eventually([&] { return t.ContextOf("short") == 512 && t.ContextOf("long") == 2048; }));
  t.engines.pop_back();  // The long one.
  const HttpResponse response = t.Chat(ChatBody(1000, false));
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body,
              HasSubstr("short: its context of 512 tokens is too short, long: down"));
  EXPECT_EQ(t.Chat(ChatBody(100, false)).status, 200);
}

// --- The configuration

TEST(ConfigChanges, WhatIsLiveIsAppliedAndTheRestNeedsARestart) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  config::Config changed = t.config;
  changed.listen = "127.0.0.1:1";
  changed.admin = "127.0.0.1:2";
  changed.threads = 3;
  changed.log.format = config::LogConfig::Format::kJson;
  changed.log.level = config::LogConfig::Level::kError;
  changed.models[0].policy = "round-robin";
  changed.models[0].queue.max_length = 7;
  changed.models[0].aliases = {"legal"};
  changed.health.path = "/v1/models";
  const auto applied = t.gateway->Apply(changed);
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_THAT(*applied, ElementsAre("listen.address", "admin.address", "threads", "log.format"));
  EXPECT_EQ(t.Chat(ChatBody(5, false)).Header("routing-strategy"), "round-robin");
  EXPECT_NE(t.Chat(ChatBody(5, false, "", "legal")).Header("target-pod"), "");
  const auto in_force = t.gateway->config();
  EXPECT_EQ(in_force->models[0].queue.max_length, 7);
  EXPECT_EQ(in_force->health.path, "/v1/models");
  EXPECT_EQ(in_force->listen, t.config.listen);
  EXPECT_FALSE(t.log.Writes(telemetry::LogLevel::kWarning));
  EXPECT_TRUE(t.log.Writes(telemetry::LogLevel::kError));
  // What an option says of itself is true: nothing that may change live is left.
  for (const config::OptionChange& change : config::Difference(*in_force, changed)) {
    EXPECT_FALSE(change.live) << change.path;
  }
  EXPECT_THAT(*t.gateway->Apply(*in_force), IsEmpty());
}

TEST(ConfigChanges, ModelsComeAndGo) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  EXPECT_EQ(t.Chat(ChatBody(5, false, "", "other")).status, 404);
  config::Config changed = t.config;
  changed.models.push_back(changed.models[0]);
  changed.models[1].name = "other";
  ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
  EXPECT_NE(t.Chat(ChatBody(5, false, "", "other")).Header("target-pod"), "");
  EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 200);
  EXPECT_THAT(t.registry.Text(), HasSubstr("model=\"other\""));

  changed.models.erase(changed.models.begin());
  ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
  EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 404);
  EXPECT_NE(t.Chat(ChatBody(5, false, "", "other")).Header("target-pod"), "");
  EXPECT_TRUE(Eventually([&] {  // A probe that is on its way keeps them a little longer.
    t.gateway->RefreshMetrics();
    return t.registry.Text().find("model=\"llama2-7b\"") == std::string::npos;
  }));
}

TEST(ConfigChanges, AModelThatGoesServesWhatItHas) {
  TestGateway t;
  HeldEngine engine;
  t.AddEndpoint("a10", engine.address().ToString());
  t.config.models[0].deployments[0].max_in_flight = 1;
  t.config.models.push_back(t.config.models[0]);
  t.config.models[1].name = "other";
  t.Start();
  net::RawPeer running(t.address());
  running.Send(PostText("/v1/chat/completions", ChatBody(5, true)));
  ASSERT_THAT(running.ReadUntil("data: "), HasSubstr("data: "));
  net::RawPeer waiting(t.address());
  waiting.Send(PostText("/v1/chat/completions", ChatBody(5, true)));
  ASSERT_TRUE(Eventually([&] { return t.Status().waiting == 1; }));

  const auto gone = t.gateway->pools().Find("llama2-7b");
  config::Config changed = t.config;
  changed.models.erase(changed.models.begin());
  ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
  EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 404);
  engine.Finish();
  EXPECT_THAT(running.ReadUntil("[DONE]"), HasSubstr("[DONE]"));
  EXPECT_THAT(waiting.ReadUntil("data: "), HasSubstr("200 OK"));
  engine.Finish();
  EXPECT_THAT(waiting.ReadUntil("[DONE]"), HasSubstr("[DONE]"));
  EXPECT_TRUE(Eventually([&] { return gone->router().Status().running == 0; }));
  // They are counted, too.
  const std::string completed = R"(headrace_requests_total{model="llama2-7b",outcome="completed")";
  EXPECT_TRUE(Eventually([&] { return t.Metric(completed) == 2; }));
}

TEST(ConfigChanges, LimitsAndTimeoutsHoldForTheNextRequest) {
  TestGateway t;
  const net::FaultEngine silent(net::FaultAnswer{}.ThenHang());
  t.AddEndpoint("a10", silent.address());
  t.Start();
  config::Config changed = t.config;
  changed.limits.body = 1024;
  {
    net::RawPeer connected(t.address());
    ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
    connected.Send(
        PostText("/v1/chat/completions", ChatBody(5, false, "", std::string(2000, 'm'))));
    EXPECT_EQ(ReadResponse(connected).status, 413);
  }

  changed.limits.body = t.config.limits.body;
  changed.timeouts.request = 0.05;
  changed.timeouts.connect = 1;  // Another client for engines.
  ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
  EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 504);

  changed.limits.connections = 1;
  ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
  ASSERT_TRUE(Eventually([&] { return t.Metric("headrace_connections") == 0; }));
  net::RawPeer first(t.address());
  first.Send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_THAT(first.ReadUntil("\r\n\r\n"), HasSubstr("100 Continue"));
  net::RawPeer second(t.address());
  EXPECT_EQ(ReadResponse(second).status, 503);
}

TEST(ConfigChanges, RetriesGoOnAndOffForEachModel) {
  // Each model has an engine that is lost behind its proxy, and one that is well.
  const net::FaultEngine bad(net::WholeAnswer(502, R"({"error":{"message":"lost"}})"));
  TestGateway t;
  t.config.models[0].policy = "round-robin";
  t.config.models[0].ejection.enabled = false;
  t.AddEngine("a10");
  t.AddEndpoint("a10", bad.address());
  t.config.models.push_back(t.config.models[0]);
  t.config.models[1].name = "other";
  t.Start();
  const auto failed = [&](std::string_view model) {
    int count = 0;
    for (int i = 0; i < 4; ++i) {
      std::string body = ChatBody(5, false);
      body.replace(body.find("llama2-7b"), 9, model);
      count += t.Chat(body).status == 502 ? 1 : 0;
    }
    return count;
  };
  config::Config changed = t.config;
  for (const int most : {2, 0, 2}) {
    changed.models[0].retries.most = most;
    ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
    EXPECT_EQ(failed("llama2-7b"), most == 0 ? 2 : 0);
    EXPECT_EQ(failed("other"), 0) << "it has its own";
  }
}

TEST(ConfigChanges, DeploymentsAndEndpointsComeWithTheirProfilesAndSeries) {
  TestGateway t;
  t.AddEngine("a10");
  t.AddProfile("l20", 10);
  t.Start();
  EXPECT_EQ(t.Chat(ChatBody(5, false)).Header("routing-strategy"), "least-request");
  TestGateway more;  // For its engine.
  config::Config changed = t.config;
  changed.models[0].deployments[0].endpoints.clear();
  changed.models[0].deployments[0].name = "l20";
  const system::SocketAddress fresh = more.AddEngine("l20").address();
  changed.models[0].deployments[0].endpoints = {fresh.ToString()};
  ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
  const HttpResponse response = t.Chat(ChatBody(5, false));
  EXPECT_EQ(response.Header("target-pod"), fresh.ToString());
  EXPECT_EQ(response.Header("routing-strategy"), "slo");
  EXPECT_TRUE(HasSeriesOf(t, fresh));
  // A probe that is on its way keeps them a little longer.
  EXPECT_TRUE(Eventually(
      [&] { return t.registry.Text().find("deployment=\"a10\"") == std::string::npos; }));
  EXPECT_EQ(t.gateway->Profiles().size(), 1);
  EXPECT_EQ(t.gateway->Profiles()[0].deployment, "l20");
}

TEST(ConfigChanges, OneThatCannotBeAppliedChangesNothing) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  config::Config changed = t.config;
  changed.models[0].policy = "no-such-policy";
  const auto unknown_policy = t.gateway->Apply(changed);
  ASSERT_FALSE(unknown_policy);
  EXPECT_THAT(unknown_policy.error().message, HasSubstr("no-such-policy"));
  EXPECT_EQ(*t.gateway->config(), t.config);
  EXPECT_EQ(t.Chat(ChatBody(5, false)).Header("routing-strategy"), "least-request");
}

// --- Draining

TEST(Drain, AnEndpointGetsNoNewRequestsAndFinishesWhatItHas) {
  TestGateway t;
  HeldEngine held;
  const std::string drained = held.address().ToString();
  t.AddEndpoint("held", drained);
  t.Start();
  net::RawPeer client(t.address());
  client.Send(PostText("/v1/chat/completions", ChatBody(5, true)));
  ASSERT_THAT(client.ReadUntil("data: "), HasSubstr("data: "));
  const std::string other = t.AddEngine("a10").address().ToString();
  ASSERT_TRUE(t.gateway->Apply(t.config));

  EXPECT_EQ(t.gateway->SetDrained(nullptr, drained, true), 1);
  EXPECT_EQ(t.gateway->SetDrained(nullptr, "127.0.0.1:1", true), std::nullopt);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(t.Chat(ChatBody(5, false)).Header("target-pod"), other);
  EXPECT_EQ(t.Metric("headrace_endpoint_drained"), 1);
  // Its health checks go on, and say nothing else; nor does another configuration.
  const serving::RouterStatus status = t.Status();
  EXPECT_TRUE(status.deployments[0].endpoints[0].up);
  EXPECT_TRUE(status.deployments[0].endpoints[0].drained);
  t.config.models[0].queue.max_length = 5;
  ASSERT_TRUE(t.gateway->Apply(t.config));
  EXPECT_EQ(t.Chat(ChatBody(5, false)).Header("target-pod"), other);
  held.Finish();
  EXPECT_THAT(client.ReadUntil("[DONE]"), HasSubstr("[DONE]"));
  EXPECT_TRUE(Eventually([&] { return t.gateway->SetDrained(nullptr, drained, true) == 0; }));

  // When all are, the refusal says so; resumed, it is used again.
  EXPECT_EQ(t.gateway->SetDrained(nullptr, other, true), 0);
  const HttpResponse refused = t.Chat(ChatBody(5, false));
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("is up and not drained"));
  EXPECT_EQ(t.gateway->SetDrained(nullptr, other, false), 0);
  EXPECT_EQ(t.Chat(ChatBody(5, false)).Header("target-pod"), other);
}

TEST(Drain, ADrainedEndpointThatLeavesTheFleetIsForgotten) {
  TestGateway t;
  const std::string address = t.AddEngine("a10").address().ToString();
  t.Start();
  t.gateway->SetDrained(nullptr, address, true);
  EXPECT_FALSE(t.gateway->Ready());
  const config::Config with = t.config;
  t.config.models[0].deployments[0].endpoints = {"127.0.0.1:1"};
  ASSERT_TRUE(t.gateway->Apply(t.config));
  ASSERT_TRUE(t.gateway->Apply(with));
  EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 200);
}

TEST(Drain, ReadinessEndsFirstThenTheListenerThenTheLastRequest) {
  TestGateway t;
  HeldEngine held;
  t.AddEndpoint("held", held.address().ToString());
  t.AddEngine("a10");
  t.Start();
  net::RawPeer client(t.address());
  client.Send(PostText("/v1/chat/completions", ChatBody(5, true)));
  ASSERT_THAT(client.ReadUntil("data: "), HasSubstr("data: "));
  ASSERT_EQ(Get(t.address(), "/readyz").status, 200);
  t.gateway->BeginDrain();
  EXPECT_EQ(Get(t.address(), "/readyz").status, 503);
  EXPECT_EQ(Get(t.address(), "/healthz").status, 200);
  EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 200) << "who has not heard of it yet is served";
  std::thread stops([&] { t.gateway->Stop(); });
  held.Finish();
  EXPECT_THAT(client.ReadUntil("[DONE]"), HasSubstr("[DONE]"));
  stops.join();
}

TEST(Drain, ClientsThatKeepTheirConnectionsAreSentElsewhereFirst) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  const std::string request = PostText("/v1/chat/completions", ChatBody(5, false));
  net::RawPeer client(t.address());
  client.Send(request);
  EXPECT_EQ(ReadResponse(client).Header("connection"), "");
  t.gateway->BeginDrain();
  client.Send(request);
  const HttpResponse last = ReadResponse(client);
  EXPECT_EQ(last.status, 200);
  EXPECT_EQ(last.Header("connection"), "close");
}

// Who has connected before the listener closes has an answer, whether the gateway has seen it by
// then or not.
TEST(Drain, NothingThatWasAcceptedIsLostUnderLoad) {
  for (int round = 0; round < 5; ++round) {
    TestGateway t;
    t.AddEngine("a10");
    t.Start();
    const std::string request = PostText("/v1/chat/completions", ChatBody(20, round % 2 == 0));
    std::atomic<int> served = 0;
    std::atomic<int> lost = 0;
    std::vector<std::thread> clients;
    for (int i = 0; i < 8; ++i) {
      clients.emplace_back([&] {
        for (;;) {
          net::RawPeer client(t.address());
          if (!client.connected()) return;  // The listener is closed.
          client.Send(request);
          const HttpResponse response = ReadResponse(client);
          (response.status == 200 && response.complete ? served : lost) += 1;
        }
      });
    }
    EXPECT_TRUE(Eventually([&] { return served > 50; }));
    t.gateway->Stop();
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(lost, 0) << served;
  }
}

}  // namespace
}  // namespace headrace::gateway
