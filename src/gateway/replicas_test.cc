// Several gateways before the same engines, with a real Redis.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "config/key_file.h"
#include "gateway/test_gateway.h"
#include "store/test_redis.h"

namespace headrace::gateway {
namespace {

using testing::HasSubstr;

// Gateways that share one engine, and what they do through one Redis.
struct ReplicasTest : testing::Test {
  // The engine belongs to the first.
  std::unique_ptr<TestGateway> Make(double speed = 1) {
    auto gateway = std::make_unique<TestGateway>();
    if (!engine) {
      engine = &gateway->AddEngine("a10", speed);
    } else {
      gateway->AddEndpoint("a10", engine->address().ToString());
    }
    gateway->config.models[0].policy = "least-request";
    gateway->config.redis = redis.url();
    gateway->config.replicas.share = true;
    return gateway;
  }
  static int ForeignAt(const TestGateway& t) {
    return t.Status().deployments.at(0).endpoints.at(0).foreign_in_flight;
  }
  static int Replicas(const TestGateway& t) {
    const auto status = t.gateway->Replicas();
    return status && !status->pools.empty() ? status->pools[0].replicas : 0;
  }
  static bool Connected(const TestGateway& t) {
    const auto status = t.gateway->Replicas();
    return status && status->connected;
  }
  // A long request that runs until it is dropped.
  static std::unique_ptr<net::RawPeer> LongRequest(const TestGateway& t) {
    auto peer = std::make_unique<net::RawPeer>(t.address());
    peer->Send(PostText("/v1/chat/completions", ChatBody(4000, true)));
    EXPECT_TRUE(Eventually([&] { return t.Status().running == 1; }));
    return peer;
  }

  store::TestRedis redis;
  emulator::EmulatedEngine* engine = nullptr;
};

TEST_F(ReplicasTest, SeeWhatTheOthersSendAndLearnFromIt) {
  auto a = Make();
  auto b = Make();
  a->Start();
  b->Start();
  ASSERT_TRUE(Eventually([&] { return Replicas(*a) == 2 && Replicas(*b) == 2; }));
  {
    const auto running = LongRequest(*a);
    ASSERT_TRUE(Eventually([&] { return ForeignAt(*b) == 1; }));
    EXPECT_EQ(ForeignAt(*a), 0);
    EXPECT_EQ(b->Metric("headrace_endpoint_foreign_in_flight"), 1);
    EXPECT_EQ(b->Metric("headrace_replicas{"), 2);
    EXPECT_EQ(b->Metric("headrace_replicas_connected"), 1);
  }
  ASSERT_TRUE(Eventually([&] { return ForeignAt(*b) == 0; })) << "the client has left";
  EXPECT_EQ(a->Chat(ChatBody(3, false)).status, 200);
  EXPECT_TRUE(Eventually([&] { return b->Status().learned_lengths == 1; }));
  EXPECT_TRUE(Eventually([&] { return b->Metric("headrace_replica_lag_seconds_count") > 0; }));
}

// The second one is full of what the first one has sent.
TEST_F(ReplicasTest, DoNotFillTheSameSlotTwice) {
  auto a = Make();
  auto b = Make();
  for (TestGateway* t : {a.get(), b.get()}) t->config.models[0].deployments[0].max_in_flight = 1;
  b->config.models[0].queue.timeout = 0.001;
  a->Start();
  b->Start();
  ASSERT_TRUE(Eventually([&] { return Replicas(*a) == 2 && Replicas(*b) == 2; }));
  const auto running = LongRequest(*a);
  ASSERT_TRUE(Eventually([&] { return ForeignAt(*b) == 1; }));
  EXPECT_EQ(b->Chat(ChatBody(3, false)).status, 429);
}

TEST_F(ReplicasTest, OneThatStopsLeavesNothingBehind) {
  auto a = Make();
  auto b = Make();
  a->Start();
  b->Start();
  const auto running = LongRequest(*a);
  ASSERT_TRUE(Eventually([&] { return ForeignAt(*b) == 1; }));
  a->config.timeouts.drain = 0;
  ASSERT_TRUE(a->gateway->Apply(a->config));
  a->gateway.reset();
  EXPECT_TRUE(Eventually([&] { return ForeignAt(*b) == 0 && Replicas(*b) == 1; }));
}

TEST_F(ReplicasTest, GoOnAloneWhileRedisIsAway) {
  auto a = Make();
  auto b = Make();
  for (TestGateway* t : {a.get(), b.get()}) t->config.models[0].deployments[0].max_in_flight = 2;
  b->config.models[0].queue.timeout = 0.001;
  a->Start();
  b->Start();
  ASSERT_TRUE(Eventually([&] { return Replicas(*a) == 2 && Replicas(*b) == 2; }));
  auto of_a = LongRequest(*a);
  ASSERT_TRUE(Eventually([&] { return ForeignAt(*b) == 1; }));

  redis.Stop();
  ASSERT_TRUE(Eventually([&] { return !Connected(*a) && !Connected(*b) && ForeignAt(*b) == 0; }));
  EXPECT_THAT(b->LinesWith("goes on alone"), testing::Contains(HasSubstr("with 1/2 of")));
  EXPECT_EQ(Replicas(*b), 2) << "as last known";
  EXPECT_EQ(b->Metric("headrace_replicas_connected"), 0);
  // Each has its half: one of two.
  const auto of_b = LongRequest(*b);
  EXPECT_EQ(b->Chat(ChatBody(3, false)).status, 429);

  redis.Start();
  ASSERT_TRUE(Eventually([&] { return ForeignAt(*a) == 1 && ForeignAt(*b) == 1; }));
  EXPECT_EQ(b->LinesWith("goes on alone").size(), 1) << "said once";
  of_a.reset();
  ASSERT_TRUE(Eventually([&] { return ForeignAt(*b) == 0; }));
  EXPECT_TRUE(Eventually([&] { return b->Chat(ChatBody(3, false)).status == 200; }))
      << "the other half is free again";
}

// A Redis that hangs delays nobody.
TEST_F(ReplicasTest, ARedisThatHangsIsAway) {
  auto a = Make(1000);
  a->Start();
  ASSERT_TRUE(Eventually([&] { return Connected(*a); }));
  redis.Freeze();
  EXPECT_EQ(a->Chat(ChatBody(3, false)).status, 200);
  EXPECT_TRUE(Eventually([&] { return a->Said("goes on alone"); }));
  redis.Thaw();
  EXPECT_TRUE(Eventually([&] { return Connected(*a); }));
}

// One that takes everything and delivers nothing, as when the listener's connection was cut without
// a word: who hears nobody must not take all for its own.
TEST(ReplicasAlone, ARedisThatDeliversNothingIsAway) {
  net::RawListener listener;
  TestGateway t;
  t.AddEngine("a10", 1000);
  t.config.redis = store::RedisUrl{.host = "127.0.0.1", .port = listener.address().port()};
  t.config.replicas.share = true;
  std::thread server([&] {
    net::RawPeer hears = listener.Accept();
    hears.ReadUntil("SELECT");
    hears.Send("+OK\r\n");
    hears.ReadUntil("SUBSCRIBE");
    hears.Send("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    net::RawPeer speaks = listener.Accept();
    speaks.ReadUntil("SELECT");
    speaks.Send("+OK\r\n");
    while (speaks.ReadUntil("PUBLISH").ends_with("PUBLISH")) speaks.Send(":1\r\n");
  });
  t.Start();
  EXPECT_TRUE(Eventually([&] { return t.Said("takes messages and delivers none"); }));
  t.gateway.reset();
  server.join();
}

TEST_F(ReplicasTest, AreOfOneGroupAndCanChangeItWhileTheyRun) {
  auto a = Make();
  auto b = Make();
  b->config.replicas.group = "other";
  a->Start();
  b->Start();
  const auto running = LongRequest(*a);
  ASSERT_TRUE(Eventually([&] { return Connected(*a) && Connected(*b); }));
  EXPECT_EQ(ForeignAt(*b), 0);
  b->config.replicas.group = "default";
  EXPECT_THAT(*b->gateway->Apply(b->config), testing::IsEmpty()) << "without a restart";
  ASSERT_TRUE(Eventually([&] { return ForeignAt(*b) == 1; }));
  b->config.replicas.share = false;
  b->config.redis.reset();
  ASSERT_TRUE(b->gateway->Apply(b->config));
  EXPECT_TRUE(Eventually([&] { return ForeignAt(*b) == 0 && !b->gateway->Replicas(); }));
}

// What AIBrix's GPU optimizer reads is the sum of all gateways.
// A key's limits hold for all replicas together; while they do not hear each other, each has its
// part.
TEST_F(ReplicasTest, ShareTheLimitsOfApiKeys) {
  auto a = Make();
  auto b = Make();
  const std::string salt(16, 's');
  const auto hash = [&salt](std::string_view text) { return access::HashOfKey(salt, text); };
  std::string file =
      "salt: " + access::ToHex({reinterpret_cast<const std::uint8_t*>(salt.data()), salt.size()});
  for (const access::ApiKey& key :
       {access::ApiKey{.name = "one", .hash = hash("one"), .max_in_flight = 1},
        access::ApiKey{.name = "rate", .hash = hash("rate"), .requests_per_minute = 100}}) {
    file = *config::WithKey(file, "keys.yaml", salt, key);
  }
  for (TestGateway* t : {a.get(), b.get()}) {
    t->config.api_keys = (t->folder.path() / "keys.yaml").string();
    t->folder.Write("keys.yaml", file);
    t->Start();
  }
  const auto chat = [](const TestGateway& t, const std::string& key) {
    return t.Chat(ChatBody(3, false), {"Authorization: Bearer " + key});
  };
  {
    net::RawPeer running(a->address());
    running.Send(
        PostText("/v1/chat/completions", ChatBody(4000, true), {"Authorization: Bearer one"}));
    ASSERT_TRUE(Eventually([&] { return a->Status().running == 1; }));
    ASSERT_TRUE(Eventually([&] { return chat(*b, "one").status == 429; }));
  }
  EXPECT_TRUE(Eventually([&] { return chat(*b, "one").status == 200; })) << "its client has left";

  for (int i = 0; i < 20; ++i) EXPECT_EQ(chat(*a, "rate").status, 200);
  int own = 0;
  const auto left = [&] {
    const HttpResponse response = chat(*b, "rate");
    return std::stod(std::string(response.Header("x-ratelimit-remaining-requests")));
  };
  EXPECT_TRUE(Eventually([&] { return left() <= 100 - ++own - 10; })) << "what a let through";

  redis.Stop();
  ASSERT_TRUE(Eventually([&] { return !Connected(*a) && !Connected(*b); }));
  EXPECT_TRUE(
      Eventually([&] { return chat(*a, "rate").Header("x-ratelimit-limit-requests") == "50"; }));
}

TEST_F(ReplicasTest, RequestTracesAddUp) {
  auto a = Make(1000);
  auto b = Make(1000);
  for (TestGateway* t : {a.get(), b.get()}) t->config.request_trace = true;
  a->Start();
  b->Start();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(a->Chat(ChatBody(3, false)).status, 200);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(b->Chat(ChatBody(3, false)).status, 200);
  store::Redis reader(redis.url());
  int requests = 0;
  EXPECT_TRUE(Eventually([&] {
    const auto keys = reader.Scan("aibrix:*_request_trace_*");
    const auto values = reader.Get(*keys);
    requests = 0;
    for (const auto& value : *values) {
      requests += nlohmann::json::parse(*value.text).at("meta_total_reqs").get<int>();
    }
    return requests == 5;
  })) << requests;
}

}  // namespace
}  // namespace headrace::gateway
