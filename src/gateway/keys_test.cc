// API keys: who is let in, and how much each may send.
#include <gmock/gmock.h>

#include "config/key_file.h"
#include "gateway/test_gateway.h"
#include "gateway/test_recording_engine.h"

namespace headrace::gateway {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kAnswer[] = R"({"choices":[{"finish_reason":"stop"}],)"
                           R"("usage":{"prompt_tokens":300,"completion_tokens":200}})";

class Keys : public ::testing::Test {
 protected:
  Keys() {
    t_.config.models[0].policy = "least-request";
    t_.AddEndpoint("a10", engine_.address());
    t_.config.api_keys = (t_.folder.path() / "keys.yaml").string();
    Write({Key("any")});
    engine_.Answer(kAnswer);
  }
  static access::ApiKey Key(const std::string& name) {
    return {.name = name, .hash = access::HashOfKey(kSalt, SecretOf(name))};
  }
  static std::string SecretOf(const std::string& name) { return "secret-of-" + name; }
  static std::string Bearer(const std::string& name) {
    return "Authorization: Bearer " + SecretOf(name);
  }
  void Write(const std::vector<access::ApiKey>& keys) {
    std::string text = "salt: " + access::ToHex({reinterpret_cast<const std::uint8_t*>(kSalt), 16});
    for (const access::ApiKey& key : keys) text = *config::WithKey(text, "keys.yaml", kSalt, key);
    t_.folder.Write("keys.yaml", text);
  }
  HttpResponse Models(const std::string& header) {
    net::RawPeer peer(t_.address());
    peer.Send("GET /v1/models HTTP/1.1\r\nHost: test\r\n" + header + "\r\n\r\n");
    return ReadResponse(peer);
  }

  static constexpr char kSalt[] = "0123456789abcdef";
  RecordingEngine engine_;
  TestGateway t_;
};

TEST_F(Keys, WithoutOneNobodyIsLetIn) {
  t_.Start();
  const HttpResponse none = t_.Chat(ChatBody(5, false));
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.Header("www-authenticate"), "Bearer");
  EXPECT_THAT(none.body, AllOf(HasSubstr("An API key is required"), HasSubstr("invalid_api_key")));
  for (const char* header : {"Authorization: Bearer secret-of-nobody",
                             "Authorization: Basic c2VjcmV0LW9mLWFueQ==", "x-api-key: secret-of",
                             "api-key: secret-of-any2", "Authorization: secret-of-any"}) {
    EXPECT_EQ(t_.Chat(ChatBody(5, false), {header}).status, 401) << header;
    EXPECT_EQ(Models(header).status, 401) << header;
  }
  EXPECT_EQ(Get(t_.address(), "/v1/models/llama2-7b").status, 401);
  // Before anything is unpacked or read.
  EXPECT_EQ(t_.Chat("no gzip", {"content-encoding: gzip"}).status, 401);
  EXPECT_EQ(t_.Chat("no JSON").status, 401);
  EXPECT_THAT(engine_.Posts(), IsEmpty());
  EXPECT_FALSE(t_.Said("secret-of"));
  // Probes have no key.
  EXPECT_EQ(Get(t_.address(), "/readyz").status, 200);
}

// A body that never comes: who is not known gets the answer all the same.
TEST_F(Keys, AreAskedForBeforeTheBodyIsRead) {
  t_.Start();
  const auto answer = [this](const std::string& headers, const std::string& body = "") {
    net::RawPeer peer(t_.address());
    peer.Send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" + body);
    HttpResponse response = ReadResponse(peer);
    response.complete = peer.ReadSome().empty();  // The connection ends.
    return response;
  };
  for (const std::string& framing :
       {"Content-Length: 30000000\r\n", "Transfer-Encoding: chunked\r\n",
        "Content-Length: 9\r\nExpect: 100-continue\r\n"}) {
    const HttpResponse refused = answer(framing);
    EXPECT_EQ(refused.status, 401) << framing;
    EXPECT_EQ(refused.Header("connection"), "close");
    EXPECT_THAT(refused.body, HasSubstr("invalid_api_key"));
    EXPECT_TRUE(refused.complete);
    EXPECT_EQ(answer(Bearer("wrong") + "\r\n" + framing).status, 401);
  }
  // What it goes on to send changes nothing, and takes no memory.
  EXPECT_EQ(answer("Content-Length: 30000000\r\n", std::string(3'000'000, 'x')).status, 401);
  EXPECT_EQ(t_.Metric("headrace_invalid_requests_total{status=\"401\"}"), 7);
  // Who is known is asked for the rest.
  net::RawPeer peer(t_.address());
  const std::string body = ChatBody(1, false);
  peer.Send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n" +
            Bearer("any") + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_EQ(peer.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  peer.Send(body);
  EXPECT_EQ(ReadResponse(peer).status, 200);
}

TEST_F(Keys, EveryClientsHeaderIsReadAndNoneGoesOn) {
  t_.Start();
  for (const char* header :
       {"Authorization: Bearer secret-of-any", "AUTHORIZATION: bearer secret-of-any",
        "x-api-key: secret-of-any", "api-key: secret-of-any"}) {
    EXPECT_EQ(t_.Chat(ChatBody(5, false), {header}).status, 200) << header;
  }
  EXPECT_THAT(engine_.Posts(), SizeIs(4));
  EXPECT_THAT(engine_.Posts(),
              Each(Field(&RecordingEngine::Request::fields, Not(HasSubstr("secret-of")))));
}

TEST_F(Keys, NoEngineSaysHowFarTheirLimitsAreUsed) {
  OneResponseEngine engine(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-RateLimit-Remaining-Tokens: 7\r\n\r\n{}");
  t_.config.models[0].deployments[0].endpoints = {config::EndpointConfig(engine.address())};
  t_.Start();
  const HttpResponse response = t_.Chat(ChatBody(5, false), {Bearer("any")});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.Header("x-ratelimit-remaining-tokens"), "");
  engine.Request();
}

TEST_F(Keys, WithoutAFileOfThemTheyAreForTheEngines) {
  t_.config.api_keys.clear();
  t_.Start();
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {Bearer("whoever")}).status, 200);
  EXPECT_THAT(engine_.Posts()[0].fields, HasSubstr("Bearer secret-of-whoever"));
}

TEST_F(Keys, OpenOnlyTheModelsThatTheyAreFor) {
  access::ApiKey other = Key("other");
  other.models = {"mixtral"};
  Write({Key("any"), other});
  t_.Start();
  const HttpResponse refused = t_.Chat(ChatBody(5, false), {Bearer("other")});
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("may not use the model `llama2-7b`"));
  EXPECT_THAT(Models(Bearer("other")).body, Not(HasSubstr("llama2-7b")));
  EXPECT_THAT(Models(Bearer("any")).body, HasSubstr("llama2-7b"));
}

// SGLang's way to ask for an adapter beside the model.
TEST_F(Keys, OpenNoAdapterThatTheyAreNotFor) {
  access::ApiKey one = Key("one");
  one.models = {"llama2-7b", "sql"};
  Write({one, Key("any")});
  t_.Start();
  const auto status = [&](const std::string& name, const std::string& adapters) {
    const std::string body = R"({"model":"llama2-7b","prompt":"Hi","max_tokens":1,"lora_path":)";
    return Post(t_.address(), "/v1/completions", body + adapters + "}", {Bearer(name)}).status;
  };
  EXPECT_EQ(status("one", R"("sql")"), 200);
  EXPECT_EQ(status("one", "null"), 200);
  EXPECT_EQ(status("one", R"("secret")"), 403);
  EXPECT_EQ(status("one", R"("secret","lora_path":"sql")"), 403);
  EXPECT_EQ(status("one", R"([null,"sql","secret"])"), 403);
  EXPECT_EQ(status("any", R"(["sql","secret"])"), 200);
}

TEST_F(Keys, ResponsesAreTheirTenantsAlone) {
  engine_.Answer(R"({"id":"resp_0","object":"response","status":"completed"})");
  t_.config.models[0].aliases = {"small"};
  access::ApiKey one = Key("one");
  one.tenant = "team";
  one.models = {"small"};
  access::ApiKey same = Key("same");
  same.tenant = "team";
  Write({one, same, Key("any")});
  t_.Start();
  const auto post = [&](const std::string& name, const std::string& more) {
    return Post(t_.address(), "/v1/responses", R"({"model":"small","input":"Hi")" + more + "}",
                {Bearer(name)});
  };
  const auto status = [&](const std::string& name, const std::string& verb) {
    net::RawPeer peer(t_.address());
    peer.Send(verb + " /v1/responses/resp_0 HTTP/1.1\r\nHost: test\r\n" + Bearer(name) +
              "\r\n\r\n");
    return ReadResponse(peer).status;
  };
  const std::string goes_on = R"(,"previous_response_id":"resp_0")";
  ASSERT_EQ(post("one", "").status, 200);
  for (const char* name : {"one", "same"}) {
    EXPECT_EQ(status(name, "GET"), 200) << name;
    EXPECT_EQ(post(name, goes_on).status, 200) << name;
  }
  EXPECT_EQ(status("any", "GET"), 404);
  EXPECT_EQ(status("any", "DELETE"), 404);
  const HttpResponse refused = post("any", goes_on);
  EXPECT_EQ(refused.status, 404);
  EXPECT_THAT(refused.body, HasSubstr("previous_response_id"));
  // Whose it is, nobody knows after a restart.
  EXPECT_EQ(post("any", R"(,"previous_response_id":"resp_1")").status, 404);
  EXPECT_EQ(post("any", R"(,"previous_response_id":null)").status, 200);
}

TEST_F(Keys, AboveTheirRequestsAMinuteGet429) {
  access::ApiKey slow = Key("slow");
  slow.requests_per_minute = 2;
  Write({slow, Key("any")});
  t_.Start();
  const HttpResponse first = t_.Chat(ChatBody(5, false), {Bearer("slow")});
  EXPECT_EQ(first.Header("x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(first.Header("x-ratelimit-remaining-requests"), "1");
  EXPECT_EQ(first.Header("x-ratelimit-limit-tokens"), "");
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {Bearer("slow")}).status, 200);
  const HttpResponse third = t_.Chat(ChatBody(5, false), {Bearer("slow")});
  EXPECT_EQ(third.status, 429);
  EXPECT_THAT(third.body, AllOf(HasSubstr("2 requests a minute"), HasSubstr("rate_limit_exceeded"),
                                HasSubstr(R"("type":"requests")")));
  const int retry_after = std::stoi(third.Header("retry-after"));
  EXPECT_GE(retry_after, 1);
  EXPECT_LE(retry_after, 30);
  EXPECT_EQ(third.Header("x-ratelimit-remaining-requests"), "0");
  // Another key has limits of its own.
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {Bearer("any")}).status, 200);
}

TEST_F(Keys, PayForTheTokensThatCame) {
  access::ApiKey key = Key("metered");
  key.tokens_per_minute = 1000;
  Write({key});
  t_.Start();
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {Bearer("metered")}).status, 200);
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {Bearer("metered")}).status, 200);
  // 500 each, by the engine's account; little has come since.
  ASSERT_TRUE(Eventually([&] { return t_.Idle(); }));
  const HttpResponse third = t_.Chat(ChatBody(5, false), {Bearer("metered")});
  EXPECT_THAT(third.status, testing::AnyOf(200, 429));
  const int remaining = std::stoi(third.Header("x-ratelimit-remaining-tokens"));
  EXPECT_LT(remaining, 200);
}

TEST_F(Keys, PayForWhatTookTooLong) {
  TestGateway t;
  t.config.models[0].policy = "least-request";
  t.config.timeouts.request = 0.3;
  t.AddEngine("a10", 1);
  access::ApiKey key = Key("metered");
  key.tokens_per_minute = 1000;
  Write({key});
  t.config.api_keys = t_.config.api_keys;
  t.Start();
  const std::string body = R"({"model":"llama2-7b","max_tokens":2000,"messages":[{"role":"user",)"
                           R"("content":")" +
                           std::string(3000, 'x') + R"("}]})";
  EXPECT_EQ(t.Chat(body, {Bearer("metered")}).status, 504);
  ASSERT_TRUE(Eventually([&] { return t.Idle(); }));
  const HttpResponse next = t.Chat(ChatBody(1, true), {Bearer("metered")});
  EXPECT_LT(std::stoi(next.Header("x-ratelimit-remaining-tokens")), 700);
}

TEST_F(Keys, OnlySoManyRequestsAtATime) {
  TestGateway t;
  t.config.models[0].policy = "least-request";
  emulator::EmulatedEngine& engine = t.AddEngine("a10", 1);
  access::ApiKey key = Key("one");
  key.max_in_flight = 1;
  Write({key});
  t.config.api_keys = t_.config.api_keys;
  t.Start();
  {
    net::RawPeer running(t.address());
    running.Send(PostText("/v1/chat/completions", ChatBody(2000, true), {Bearer("one")}));
    ASSERT_TRUE(Eventually([&] { return RunningAt(engine) == 1; }));
    const HttpResponse second = t.Chat(ChatBody(5, false), {Bearer("one")});
    EXPECT_EQ(second.status, 429);
    EXPECT_THAT(second.body, HasSubstr("1 requests at a time"));
    EXPECT_EQ(second.Header("retry-after"), "1");
  }
  // Its client has gone: the place is free again.
  ASSERT_TRUE(Eventually([&] { return t.Idle(); }));
  EXPECT_TRUE(
      Eventually([&] { return t.Chat(ChatBody(1, false), {Bearer("one")}).status == 200; }));
}

TEST_F(Keys, AChangedFileIsTakenOver) {
  t_.Start();
  Write({Key("new")});
  t_.gateway->RefreshFiles();
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {Bearer("any")}).status, 200) << "it may be half written";
  t_.gateway->RefreshFiles();
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {Bearer("any")}).status, 401);
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {Bearer("new")}).status, 200);
  // One with a fault changes nothing, and says so.
  t_.folder.Write("keys.yaml", "keys: [");
  t_.gateway->RefreshFiles();
  t_.gateway->RefreshFiles();
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {Bearer("new")}).status, 200);
  EXPECT_TRUE(t_.Said("the keys stay as they were"));
  EXPECT_THAT(t_.gateway->Files()[0].fault, HasSubstr("keys.yaml:1"));
  EXPECT_FALSE(t_.gateway->Apply(t_.config));
  Write({Key("new")});
  t_.config.api_keys.clear();
  ASSERT_TRUE(t_.gateway->Apply(t_.config));
  EXPECT_EQ(t_.Chat(ChatBody(5, false)).status, 200);
}

TEST_F(Keys, AFileThatIsMissingStopsTheStart) {
  t_.config.api_keys += ".gone";
  const auto started = Gateway::Start(t_.config, t_.log, t_.registry);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("keys.yaml.gone"));
}

}  // namespace
}  // namespace headrace::gateway
