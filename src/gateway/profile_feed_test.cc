#include "serving/profile_feed.h"

#include <gmock/gmock.h>

#include <chrono>

#include "discovery/redis_profiles.h"
#include "gateway/test_gateway.h"
#include "store/test_redis.h"

namespace headrace::gateway {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;

std::string PolicyThatServed(const TestGateway& t) {
  return t.Chat(ChatBody(5, false)).Header("routing-strategy");
}

serving::ProfileStatus StatusOf(const TestGateway& t, const std::string& deployment) {
  for (const serving::ProfileStatus& status : t.gateway->Profiles()) {
    if (status.deployment == deployment) return status;
  }
  return {};
}

TEST(ProfileFeed, ProfileThatAppearsIsUsedAndOneThatBreaksStaysInForce) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  EXPECT_EQ(PolicyThatServed(t), "least-request");
  t.AddProfile("a10", 10);
  ASSERT_TRUE(Eventually([&] { return PolicyThatServed(t) == "slo"; }));
  t.folder.Write("a10.json", "{ broken");
  ASSERT_TRUE(Eventually([&] { return !StatusOf(t, "a10").reading.error.empty(); }));
  EXPECT_EQ(PolicyThatServed(t), "slo");
  EXPECT_EQ(t.Metric("headrace_profile_current{"), 0);
}

TEST(ProfileFeed, APolicyThatNeedsNoneDoesNotMissOne) {
  TestGateway t;
  t.AddEngine("a10");
  t.config.models[0].policy = "slo-headroom";
  t.Start();
  EXPECT_EQ(PolicyThatServed(t), "slo-headroom");
  EXPECT_FALSE(t.Said("profile of"));
  EXPECT_EQ(StatusOf(t, "a10").reading.error, "");
  EXPECT_EQ(t.Metric("headrace_profile_faults{"), 0);
  // One that is there and broken is another matter.
  t.folder.Write("a10.json", "{ broken");
  ASSERT_TRUE(Eventually([&] { return t.Said("profile of"); }));
}

TEST(ProfileFeed, AProfileThatIsNamedIsMissedUnderEveryPolicy) {
  TestGateway t;
  t.AddEngine("a10");
  t.config.models[0].policy = "least-request";
  t.config.models[0].deployments[0].profile = (t.folder.path() / "b.json").string();
  t.Start();
  EXPECT_THAT(StatusOf(t, "a10").reading.error, HasSubstr("b.json: no such file"));
}

// A router that is handed all that goes wrong in the field at once.
TEST(ProfileFeed, ServesBySloWhereverItCanAndSaysOfEachBrokenProfileWhatHelps) {
  TestGateway t;
  const std::string sound = TestGateway::ProfileText("x", 10);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = sound;
    return text.replace(text.find(from), from.size(), to);
  };
  const std::map<std::string, std::string> profiles{
      {"holes", R"({"gpu": "x", "cost": 1, "created": 2e9, "tputs": [[10, NaN]],)"
                R"("indexes": [[64], [64, 4096]], "e2e": [[1, NaN]], "slos": {"e2e": 100}})"},
      {"nan", with("10.000000", "NaN")},
      {"zero", with("10.000000", "0")},
      {"slo-less", with(R"(, "slos": {"e2e": 100.000000})", "")},
      {"old-generation", with(R"("e2e": [[1]], )", "")},
      {"stale", sound},  // Created in 1970.
      {"truncated", sound.substr(0, 60)},
  };
  for (const auto& [name, text] : profiles) {
    t.folder.Write(name + ".json", text);
    t.AddEngine(name);
  }
  t.AddEngine("missing");
  t.Start();

  // Where something is known, requests are routed by it; the others take part by the fallback.
  std::map<std::string, int> served;
  for (int i = 0; i < 40; ++i) {
    const HttpResponse response = t.Chat(ChatBody(5, false));
    ASSERT_EQ(response.status, 200) << response.body;
    ++served[response.Header("routing-strategy")];
  }
  EXPECT_EQ(served["slo"], 40) << "two deployments have room, and one request at a time comes";

  const std::map<std::string, std::string> said{
      {"holes", "input 4096 tokens is empty (NaN), so the cell is unknown; measure it again"},
      {"nan", "holds only NaN, so no request can be routed with it; measure it again"},
      {"zero", "loosen the SLO or measure lower request rates"},
      {"slo-less",
       "sets a latency target, so its deployment is routed by the fallback; add `slo:`"},
      {"old-generation", "lacks the latencies"},
      {"stale", "days old; measure it again"},
      {"truncated", "the JSON ends in the middle (truncated?); copy or write it again"},
      {"missing", "no such file; generate a profile there"},
  };
  for (const auto& [name, sentence] : said) {
    const std::string file = "/" + name + ".json: ";
    EXPECT_THAT(t.LinesWith(file), Contains(HasSubstr(sentence)).Times(1));
    const serving::ProfileStatus status = StatusOf(t, name);
    std::string all = status.reading.error;
    for (const std::string& fault : status.faults) all += "\n" + fault;
    for (const profile::ProfileFault& fault : status.reading.faults) all += "\n" + fault.message;
    EXPECT_THAT(all, HasSubstr(file));
    EXPECT_THAT(all, HasSubstr(sentence));
  }
  EXPECT_EQ(t.Metric("headrace_profile_current{"), 4);
}

TEST(ProfileFeed, FollowsRedisThroughChangesOutageAndReturn) {
  store::TestRedis redis;
  TestGateway t;
  t.AddEngine("a10");
  t.config.redis = redis.url();
  t.config.profiles.source = config::ProfilesConfig::Source::kRedis;
  const auto put = [&](const std::string& text) {
    ASSERT_TRUE(store::Redis(redis.url()).Set(discovery::ProfileKey("llama2-7b", "a10"), text));
  };
  redis.Cli("CONFIG SET notify-keyspace-events KA");
  put(TestGateway::ProfileText("a10", 10));
  t.Start();
  EXPECT_EQ(PolicyThatServed(t), "slo");
  EXPECT_EQ(StatusOf(t, "a10").reading.origin,
            "aibrix:profile_llama2-7b_a10 in " + redis.url().Name());

  put("{ broken");
  ASSERT_TRUE(Eventually([&] { return t.Said("The last good profile stays in force"); }));
  EXPECT_EQ(PolicyThatServed(t), "slo");

  redis.Stop();
  ASSERT_TRUE(Eventually([&] { return t.Said("Of 1 profiles 1 were read before"); }));
  EXPECT_EQ(PolicyThatServed(t), "slo");
  EXPECT_EQ(t.Metric("headrace_profile_current{"), 0);

  redis.Start();
  put(TestGateway::ProfileText("a10", 20));
  ASSERT_TRUE(Eventually([&] { return t.Metric("headrace_profile_current{") == 1; }));
  EXPECT_EQ(StatusOf(t, "a10").reading.profile->tput.at(0, 0), 20);
}

TEST(ProfileFeed, StartsAndServesWhileRedisIsAway) {
  store::TestRedis redis;
  TestGateway t;
  t.AddEngine("a10");
  t.config.redis = redis.url();
  t.config.profiles.source = config::ProfilesConfig::Source::kRedis;
  redis.Stop();
  t.Start();
  EXPECT_EQ(PolicyThatServed(t), "least-request");
  EXPECT_THAT(t.LinesWith("Redis cannot be reached"), SizeIs(1));
  redis.Start();
  ASSERT_TRUE(
      store::Redis(redis.url())
          .Set(discovery::ProfileKey("llama2-7b", "a10"), TestGateway::ProfileText("a10", 10)));
  ASSERT_TRUE(Eventually([&] { return PolicyThatServed(t) == "slo"; }));
}

TEST(ProfileFeed, AProfileNamedByAPathIsAFileEvenBesideRedis) {
  const store::TestRedis redis;
  TestGateway t;
  t.AddEngine("a10");
  t.AddProfile("elsewhere", 10);
  t.config.redis = redis.url();
  t.config.profiles.source = config::ProfilesConfig::Source::kRedis;
  t.config.models[0].deployments[0].profile = (t.folder.path() / "elsewhere.json").string();
  t.Start();
  EXPECT_EQ(PolicyThatServed(t), "slo");
}

TEST(RequestTrace, IsWrittenForTheGpuOptimizer) {
  const store::TestRedis server;
  TestGateway t;
  t.AddEngine("a10");
  t.config.redis = server.url();
  t.config.request_trace = true;
  t.Start();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(t.Chat(ChatBody(64, false)).status, 200);
  // At the next full ten seconds.
  store::Redis redis(server.url());
  std::string written;
  ASSERT_TRUE(Eventually([&] {
    const auto keys = redis.Scan("aibrix:llama2-7b_request_trace_*");
    for (const std::string& key : *keys) {
      written += *redis.Get(std::vector<std::string>{key})->at(0).text;
    }
    return written.find(":60\": ") != std::string::npos;
  })) << written;
  EXPECT_THAT(written, HasSubstr(R"("meta_v": 4)"));
}

}  // namespace
}  // namespace headrace::gateway
