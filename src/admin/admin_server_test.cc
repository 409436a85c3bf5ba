#include "admin/admin_server.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "discovery/redis_profiles.h"
#include "gateway/test_gateway.h"
#include "net/test_certificates.h"
#include "net/test_fault_engine.h"
#include "net/test_tls_call.h"
#include "store/test_redis.h"

namespace headrace::admin {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

class AdminServerTest : public testing::Test {
 protected:
  // With one engine, that takes one request at a time.
  void Start(double speed = 1000) {
    t_.AddEngine("a10", speed);
    t_.AddProfile("a10", 1);
    StartServers();
  }
  void StartServers() {
    t_.Start();
    auto started = AdminServer::Start("127.0.0.1:0", *t_.gateway, t_.registry);
    ASSERT_TRUE(started) << started.error().message;
    admin_ = std::move(*started);
  }
  gateway::HttpResponse Page(const std::string& path) {
    return gateway::Get(admin_->address(), path);
  }
  // A recording whose head has come: it is under way.
  net::RawPeer Record(const std::string& query) {
    net::RawPeer peer(admin_->address());
    peer.Send("GET /debug/record?" + query + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_THAT(peer.ReadUntil("\r\n\r\n"), HasSubstr("200 OK"));
    return peer;
  }
  // The lines of a recording, to its end.
  static std::vector<Json> Lines(net::RawPeer& peer) {
    std::string body;
    for (;;) {
      const std::string size_line = peer.ReadUntil("\r\n");
      const std::size_t size = size_line.empty() ? 0 : std::stoul(size_line, nullptr, 16);
      if (size == 0) break;
      body += peer.ReadCount(size);
      peer.ReadCount(2);
    }
    std::vector<Json> lines;
    std::istringstream stream(body);
    for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
    return lines;
  }

  gateway::TestGateway t_;
  std::unique_ptr<AdminServer> admin_;
};

TEST_F(AdminServerTest, StatusShowsEveryProfileWithItsOrigin) {
  Start();
  const Json status = Json::parse(Page("/status").body);
  const Json& profile = status["models"][0]["deployments"][0]["profile"];
  EXPECT_EQ(profile["state"], "in force");
  EXPECT_TRUE(gateway::Eventually([&] {
    const Json page = Json::parse(Page("/status").body);
    return page["models"][0]["deployments"][0].value("max_model_len", 0) == 4096;
  })) << "as the engine says";
  EXPECT_EQ(profile["origin"], (t_.folder.path() / "a10.json").string());
  EXPECT_THAT(profile["faults"][0].get<std::string>(), HasSubstr("days old; measure it again"));
  EXPECT_EQ(status["models"][0]["deployments"][0]["stream_options"], "asked");
  EXPECT_EQ(Page("/healthz").status, 200);
  EXPECT_THAT(Page("/nothing").body, HasSubstr("/debug/record"));
}

TEST_F(AdminServerTest, StatusShowsThatEnginesRefuseStreamOptions) {
  const net::FaultEngine engine([](int, const net::FaultRequest& request) {
    return request.body.find("stream_options") == std::string::npos
               ? net::StreamAnswer({"data: {\"choices\":[]}\n\n", "data: [DONE]\n\n"})
               : net::WholeAnswer(400, R"({"error":{"message":"Unknown field stream_options"}})");
  });
  t_.AddEndpoint("a10", engine.address());
  StartServers();
  EXPECT_EQ(t_.Chat(gateway::ChatBody(5, true)).status, 200);
  const Json status = Json::parse(Page("/status").body)["models"][0]["deployments"][0];
  EXPECT_EQ(status["stream_options"], "refused");
}

TEST_F(AdminServerTest, ExplainsWhereARequestWentAndWhatCameOfIt) {
  Start();
  const gateway::HttpResponse response =
      t_.Chat(gateway::ChatBody(30, true),
              {"x-request-id: a/b", "routing-strategy: slo-headroom", "x-slo-e2e-ms: 60000",
               "x-headrace-output-tokens: 30", "x-headrace-explain: 1"});
  ASSERT_EQ(response.status, 200);
  // However early it is asked.
  const Json page = Json::parse(Page("/explain/a%2Fb").body);
  EXPECT_EQ(page["request_id"], "a/b");
  EXPECT_EQ(page["model"], "llama2-7b");
  EXPECT_EQ(page["outcome"], "completed");
  EXPECT_EQ(page["policy"], "slo-headroom");
  EXPECT_EQ(page["slo"]["e2e_s"], 60);
  EXPECT_EQ(page["output_tokens"]["counted"], 30);
  EXPECT_THAT(page["why"].get<std::string>(), HasSubstr("No other endpoint was considered"));
  EXPECT_GT(page["predicted"]["ttft_ms"], 0);
  EXPECT_GT(page["predicted"]["e2e_of_this_length_ms"], page["predicted"]["ttft_ms"]);
  EXPECT_GE(page["actual"]["e2e_ms"], page["actual"]["ttft_ms"]);
  EXPECT_EQ(page["actual"]["met_slo"], true);
  ASSERT_EQ(page["candidates"].size(), 1U);
  EXPECT_EQ(page["candidates"][0]["chosen"], true);
  EXPECT_EQ(page["candidates"][0]["endpoint"], page["endpoint"]);
  EXPECT_EQ(page["candidates"][0]["miss"], page["predicted"]["miss"]);
  // The response said the same, number by number.
  const std::string header = response.Header("x-headrace-explain");
  for (const auto& [name, value] : page["predicted"].items()) {
    if (name == "e2e_of_this_length_ms") continue;  // That was not known yet.
    const std::size_t at = header.find(name + "=");
    ASSERT_NE(at, header.npos) << name << ": " << header;
    EXPECT_EQ(std::stod(header.substr(at + name.size() + 1)), value) << name;
  }
  EXPECT_THAT(header, HasSubstr(", deployment=a10; chosen; cost="));

  const Json status = Json::parse(Page("/status").body)["models"][0]["deployments"][0];
  EXPECT_GT(status["engine"]["a_ms"], 0);
  EXPECT_EQ(status["engine"]["samples"], 1);
  EXPECT_GT(status["endpoints"][0]["forecast"]["scale"], 0);
  EXPECT_EQ(status["endpoints"][0]["forecast"]["residents"], 0);

  // Under a policy that reads profiles the candidates are deployments.
  t_.Chat(gateway::ChatBody(5, false), {"x-request-id: by-profile"});
  const Json by_profile = Json::parse(Page("/explain/by-profile").body);
  EXPECT_EQ(by_profile["candidates"][0]["deployment"], "a10");
  EXPECT_LT(by_profile["candidates"][0]["expected_ms"], by_profile["candidates"][0]["allowed_ms"]);
  EXPECT_FALSE(by_profile.contains("predicted"));

  EXPECT_EQ(t_.Chat(gateway::ChatBody(5, false), {"x-request-id: no", "x-slo-e2e-ms: 1"}).status,
            429);
  const Json refused = Json::parse(Page("/explain/no").body);
  EXPECT_EQ(refused["outcome"], "refused");
  EXPECT_THAT(refused["why"].get<std::string>(), HasSubstr("No GPU type can meet the SLO"));
  EXPECT_EQ(refused["reason"], "slo_unattainable");
  EXPECT_EQ(Page("/explain/nobody").status, 404);
  EXPECT_THAT(Page("/explain/no%20body").body, HasSubstr("No request with the id 'no body' is"));
}

TEST_F(AdminServerTest, AnExplanationNamesTheTraceOfARequestThatHasOne) {
  t_.config.tracing = {.endpoint = "http://127.0.0.1:1", .sample = 0};
  Start();
  t_.Chat(gateway::ChatBody(5, false),
          {"x-request-id: mine",
           "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"});
  ASSERT_TRUE(gateway::Eventually([&] { return Page("/explain/mine").status == 200; }));
  EXPECT_EQ(Json::parse(Page("/explain/mine").body)["trace_id"],
            "4bf92f3577b34da6a3ce929d0e0e4736");
}

TEST_F(AdminServerTest, ListsTheRequestsThatEndedLast) {
  Start();
  EXPECT_EQ(Json::parse(Page("/explain").body)["requests"], Json::array());
  const auto own = t_.Chat(gateway::ChatBody(5, false));
  t_.Chat(gateway::ChatBody(5, false), {"x-request-id: theirs"});
  ASSERT_TRUE(gateway::Eventually([&] { return Page("/explain/theirs").status == 200; }));
  const Json all = Json::parse(Page("/explain").body);
  EXPECT_EQ(all["kept"], serving::RequestHistory::kMost);
  ASSERT_EQ(all["requests"].size(), 2U);
  EXPECT_EQ(all["requests"][0]["request_id"], "theirs");
  EXPECT_EQ(all["requests"][1]["request_id"], own.Header("x-request-id"));
  // As the request's own page says, but for the candidates.
  Json one = Json::parse(Page("/explain/theirs").body);
  one.erase("candidates");
  one["arrived"] = all["requests"][0]["arrived"];  // To the millisecond.
  EXPECT_EQ(all["requests"][0], one);
  EXPECT_EQ(Json::parse(Page("/explain?last=1").body)["requests"].size(), 1U);
  for (const char* query : {"last=0", "last=201", "last=x", "first=1"}) {
    EXPECT_EQ(Page("/explain?" + std::string(query)).status, 400) << query;
  }
  EXPECT_EQ(Json::parse(Page("/timeline").body)["models"][0]["name"], "llama2-7b");
}

// A missing profile is explained by the keys that are there, which may be named anyhow.
TEST_F(AdminServerTest, StatusBearsNamesThatAreNoText) {
  store::TestRedis redis;
  ASSERT_TRUE(store::Redis(redis.url()).Set(discovery::ProfileKey("llama2-7b", "\xff"), "{}"));
  t_.config.redis = redis.url();
  t_.config.profiles.source = config::ProfilesConfig::Source::kRedis;
  t_.AddEngine("a10");
  StartServers();
  const gateway::HttpResponse page = Page("/status");
  EXPECT_EQ(page.status, 200);
  const Json profile = Json::parse(page.body)["models"][0]["deployments"][0]["profile"];
  EXPECT_THAT(profile["error"].get<std::string>(),
              HasSubstr("keys that are there: aibrix:profile_llama2-7b_\xEF\xBF\xBD."));
}

TEST_F(AdminServerTest, PagesAreReadOnly) {
  Start();
  net::RawPeer peer(admin_->address());
  peer.Send("POST /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string response = peer.ReadAll();
  EXPECT_THAT(response, HasSubstr("HTTP/1.1 405 "));
  EXPECT_THAT(response, HasSubstr("allow: GET, HEAD, OPTIONS\r\n"));
  EXPECT_THAT(response, HasSubstr(R"({"error":"Use GET for /status.")"));
}

TEST_F(AdminServerTest, RecordsWhatArrivesMeanwhileAsItEnds) {
  Start();
  t_.Chat(gateway::ChatBody(5, false));
  net::RawPeer recording = Record("duration=700ms&model=llama2-7b");
  for (const int tokens : {7, 30}) {
    t_.Chat(gateway::ChatBody(tokens, false),
            {"x-headrace-output-tokens: " + std::to_string(tokens)});
  }
  // Refused: no GPU type can do that.
  EXPECT_EQ(t_.Chat(gateway::ChatBody(5, false), {"x-slo-e2e-ms: 1"}).status, 429);
  const std::vector<Json> lines = Lines(recording);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0]["output_length"], 7);
  EXPECT_EQ(lines[1]["output_length"], 30);
  EXPECT_GT(lines[1]["timestamp"], lines[0]["timestamp"]);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(lines[i]["outcome"], "completed");
    EXPECT_EQ(lines[i]["deployment"], "a10");
    EXPECT_GT(lines[i]["input_length"], 5);
    EXPECT_GT(lines[i]["e2e_ms"], 0);
    EXPECT_FALSE(lines[i].contains("ttft_ms")) << "it came as a whole";
    EXPECT_FALSE(lines[i].contains("estimated"));
  }
  EXPECT_EQ(lines[2]["outcome"], "refused");
  EXPECT_EQ(lines[2]["estimated"], true);
  EXPECT_GT(lines[2]["output_length"], 0);
  EXPECT_FALSE(lines[2].contains("deployment"));
}

TEST_F(AdminServerTest, ARecordingWaitsForTheRequestsThatArrivedInIt) {
  Start(/*speed=*/20);
  net::RawPeer recording = Record("duration=1s");
  net::RawPeer client(t_.address());
  client.Send(gateway::PostChat(900, true));
  const std::vector<Json> lines = Lines(recording);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["output_length"], 900);
  EXPECT_GT(lines[0]["e2e_ms"], 1000);
}

// It is part of the load that another policy would have had.
TEST_F(AdminServerTest, ARequestThatLeavesWhileItWaitsIsRecordedWithTheExpectedLength) {
  Start(/*speed=*/20);
  net::RawPeer recording = Record("duration=1s");
  net::RawPeer running(t_.address());
  running.Send(gateway::PostChat(900, true));
  ASSERT_THAT(running.ReadUntil("\r\n\r\n"), HasSubstr("200 OK"));
  net::RawPeer waiting(t_.address());
  waiting.Send(gateway::PostText("/v1/chat/completions", gateway::ChatBody(50, false)));
  ASSERT_TRUE(gateway::Eventually(
      [&] { return Json::parse(Page("/status").body)["models"][0]["queue"]["length"] == 1; }));
  waiting.Close();
  ASSERT_TRUE(gateway::Eventually(
      [&] { return Json::parse(Page("/status").body)["models"][0]["queue"]["length"] == 0; }));
  running.Close();
  const std::vector<Json> lines = Lines(recording);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["outcome"], "cancelled");
  EXPECT_EQ(lines[0]["estimated"], true);
  EXPECT_FALSE(lines[0].contains("deployment"));
  EXPECT_GT(lines[0]["output_length"], 0);
  EXPECT_GT(lines[0]["queued_ms"], 0);
}

TEST_F(AdminServerTest, SaysWhatIsWrongWithARecordingsQuery) {
  Start();
  EXPECT_THAT(Page("/debug/record?model=other").body, HasSubstr("one of llama2-7b"));
  EXPECT_THAT(Page("/debug/record?duration=soon").body, HasSubstr("not a duration"));
  EXPECT_THAT(Page("/debug/record?duration=25h").body, HasSubstr("at most 1d"));
  EXPECT_THAT(Page("/debug/record?format=csv").body, HasSubstr("only model=NAME and duration=1m"));
  EXPECT_EQ(Page("/debug/record?model=%zz").status, 400);
}

TEST_F(AdminServerTest, RecordingsAreLimitedInNumberAndEndWithTheirReaders) {
  Start();
  std::vector<net::RawPeer> recordings;
  for (std::size_t i = 0; i < serving::RequestRecorder::kMostRecordings; ++i) {
    recordings.push_back(Record("duration=1h"));
  }
  EXPECT_EQ(Page("/debug/record").status, 429);
  recordings.pop_back();
  EXPECT_TRUE(gateway::Eventually([&] {
    net::RawPeer peer(admin_->address());
    peer.Send("GET /debug/record HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return peer.ReadUntil("\r\n\r\n").find("200 OK") != std::string::npos;
  }));
}

// --- What changes the gateway

gateway::HttpResponse PostTo(const AdminServer& admin, const std::string& target) {
  return gateway::Post(admin.address(), target, "");
}

TEST_F(AdminServerTest, ReloadSaysWhatHasChangedOrWhatIsWrong) {
  t_.AddEngine("a10");
  t_.Start();
  const std::string file = (t_.folder.path() / "h.yaml").string();
  t_.folder.Write("h.yaml", "round-robin");
  // The configuration as it is, with the policy that the file names.
  const auto parse = [this](std::string_view text) -> Result<config::Config> {
    if (text == "bad") return Fail("h.yaml:1: bad; write good");
    config::Config config = t_.config;
    config.models[0].policy = text;
    return config;
  };
  gateway::ConfigFollower follower(file, "slo", parse, *t_.gateway, t_.log, t_.registry, 3600);
  bool drained = false;
  const auto admin =
      std::move(*AdminServer::Start("127.0.0.1:0", *t_.gateway, t_.registry,
                                    {.config = &follower, .drain = [&] { drained = true; }}));
  const gateway::HttpResponse reloaded = PostTo(*admin, "/-/reload");
  EXPECT_EQ(reloaded.status, 200);
  EXPECT_EQ(Json::parse(reloaded.body)["changed"], Json({"models[llama2-7b].policy"}));
  t_.folder.Write("h.yaml", "bad");
  const gateway::HttpResponse refused = PostTo(*admin, "/-/reload");
  EXPECT_EQ(refused.status, 422);
  EXPECT_EQ(Json::parse(refused.body)["faults"], Json({"h.yaml:1: bad; write good"}));
  const Json status = Json::parse(gateway::Get(admin->address(), "/status").body);
  EXPECT_EQ(status["configuration"]["state"], "stale");
  EXPECT_EQ(status["models"][0]["policy"], "round-robin");
  EXPECT_EQ(gateway::Get(admin->address(), "/-/reload").status, 405) << "a GET changes nothing";

  EXPECT_EQ(PostTo(*admin, "/-/drain").status, 202);
  EXPECT_TRUE(drained);
  EXPECT_EQ(gateway::Get(admin->address(), "/readyz").status, 503);
  EXPECT_EQ(Json::parse(gateway::Get(admin->address(), "/status").body)["draining"], true);
}

TEST_F(AdminServerTest, AnEndpointIsDrainedAndResumed) {
  Start();
  const std::string endpoint = t_.engines[0]->address().ToString();
  const gateway::HttpResponse drained = PostTo(*admin_, "/-/drain?endpoint=" + endpoint);
  EXPECT_EQ(drained.status, 200);
  EXPECT_EQ(Json::parse(drained.body),
            Json({{"endpoint", endpoint}, {"drained", true}, {"in_flight", 0}}));
  EXPECT_EQ(t_.Chat(gateway::ChatBody(5, false)).status, 503);
  EXPECT_EQ(PostTo(*admin_, "/-/resume?endpoint=" + endpoint + "&model=llama2-7b").status, 200);
  EXPECT_EQ(t_.Chat(gateway::ChatBody(5, false)).status, 200);
  EXPECT_EQ(PostTo(*admin_, "/-/drain?endpoint=127.0.0.1%3A1").status, 404);
  EXPECT_EQ(PostTo(*admin_, "/-/drain?endpoint=" + endpoint + "&model=other").status, 404);
  EXPECT_EQ(PostTo(*admin_, "/-/drain?model=llama2-7b").status, 400);
  EXPECT_EQ(PostTo(*admin_, "/-/drain?endpont=x").status, 400);
  EXPECT_EQ(PostTo(*admin_, "/-/resume").status, 400);
  EXPECT_EQ(PostTo(*admin_, "/-/drain").status, 409) << "a part of a program";
  EXPECT_EQ(PostTo(*admin_, "/-/reload").status, 409);
}

TEST_F(AdminServerTest, APageOfAnotherSiteChangesNothing) {
  Start();
  const std::string target = "/-/drain?endpoint=" + t_.engines[0]->address().ToString();
  const auto post = [&](const std::string& origin) {
    return gateway::Post(admin_->address(), target, "", {"Origin: " + origin}).status;
  };
  for (const char* origin : {"https://evil.example", "http://127.0.0.1:1", "null"}) {
    EXPECT_EQ(post(origin), 403) << origin;
  }
  EXPECT_EQ(t_.Chat(gateway::ChatBody(5, false)).status, 200);
  EXPECT_EQ(post("http://localhost"), 200) << "the admin address itself, as its Host header says";
}

TEST_F(AdminServerTest, AnotherCertificateComesWithTheConfiguration) {
  const net::TestCa ca;
  const net::TestCa other("another CA");
  const auto pair = [this](const std::string& name, const net::TestCertificate& own) {
    t_.folder.Write(name + ".pem", own.certificate);
    t_.folder.Write(name + "-key.pem", own.key);
    config::AdminConfig config("127.0.0.1:0");
    config.certificate = (t_.folder.path() / (name + ".pem")).string();
    config.key = (t_.folder.path() / (name + "-key.pem")).string();
    return config;
  };
  t_.config.admin = pair("one", ca.Issue("IP:127.0.0.1"));
  t_.Start();
  admin_ = std::move(*AdminServer::Start(t_.config.admin, *t_.gateway, t_.registry));
  const auto ask = [this](const net::TestCa& trusted) {
    return net::CallOverTls(admin_->address(), {.ca = trusted.certificate()}, "GET", "/healthz")
        .status;
  };
  EXPECT_EQ(ask(ca), 200);
  t_.config.admin = pair("two", other.Issue("IP:127.0.0.1"));
  const auto waiting = t_.gateway->Apply(t_.config);
  ASSERT_TRUE(waiting) << waiting.error().message;
  EXPECT_THAT(*waiting, testing::IsEmpty());
  EXPECT_EQ(ask(other), 200);
}

}  // namespace
}  // namespace headrace::admin
