// What clients of other APIs and tools ask for, and how: paths, headers, codings.
#include <gmock/gmock.h>
#include <zlib.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "gateway/test_gateway.h"
#include "gateway/test_recording_engine.h"

namespace headrace::gateway {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

HttpResponse Send(const system::SocketAddress& address, const std::string& line,
                  const std::vector<std::string>& headers = {}, const std::string& body = "") {
  net::RawPeer peer(address);
  std::string text = line + " HTTP/1.1\r\nHost: test\r\n";
  for (const std::string& header : headers) text += header + "\r\n";
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  peer.Send(text + "\r\n" + body);
  HttpResponse response;
  if (!line.starts_with("HEAD")) return ReadResponse(peer);
  response.head = peer.ReadUntil("\r\n\r\n");
  response.status = std::stoi("0" + response.head.substr(9, 3));
  return response;
}

std::string Gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// One engine that keeps what it was sent.
class ClientsTest : public testing::Test {
 protected:
  void Start() {
    gateway_.AddEndpoint("a10", engine_.address());
    gateway_.Start();
  }
  system::SocketAddress address() const { return gateway_.address(); }

  RecordingEngine engine_;
  TestGateway gateway_;
};

// --- Paths

TEST_F(ClientsTest, TheEnginesOtherPathsPassByLeastRequest) {
  gateway_.AddProfile("a10", 10);
  Start();
  const std::string body = R"({"model":"llama2-7b","query":"q","documents":["a","b"]})";
  for (const char* path :
       {"/v1/messages/count_tokens", "/v1/rerank", "/rerank", "/v2/rerank", "/v1/score", "/score",
        "/classify", "/pooling", "/tokenize", "/detokenize", "/v1/audio/speech",
        "/v1/images/generations", "/v2/embed"}) {
    const HttpResponse response = Post(address(), path, body, {"x-slo-ttft-ms: 1"});
    EXPECT_EQ(response.status, 200) << path << response.body;
    EXPECT_EQ(response.Header("routing-strategy"), "least-request") << path;
    EXPECT_EQ(engine_.Posts().back().target, path);
    EXPECT_EQ(engine_.Posts().back().body, body);
  }
  EXPECT_TRUE(Eventually([&] { return gateway_.Idle(); }));
  EXPECT_EQ(gateway_.Metric("headrace_ttft_seconds_count"), 0) << "they say nothing of the model's";
  EXPECT_EQ(gateway_.Metric("headrace_slo_requests_total"), 0);
  EXPECT_EQ(Post(address(), "/v1/decisions", body).status, 404);
}

TEST_F(ClientsTest, AFormsModelIsReadFromIt) {
  Start();
  const auto form = [](const std::string& model) {
    return "--b\r\nContent-Disposition: form-data; name=\"file\"; "
           "filename=\"a.wav\"\r\n\r\nRIFF\r\n"
           "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" +
           model + "\r\n--b--\r\n";
  };
  const auto post = [&](const std::string& body, const std::string& type) {
    return Send(address(), "POST /v1/audio/transcriptions", {"content-type: " + type}, body);
  };
  EXPECT_EQ(post(form("llama2-7b"), "multipart/form-data; boundary=b").status, 200);
  EXPECT_EQ(engine_.Posts().back().body, form("llama2-7b"));
  EXPECT_THAT(engine_.Posts().back().fields, HasSubstr("multipart/form-data; boundary=b"));
  EXPECT_EQ(post(form("gpt-9"), "multipart/form-data; boundary=b").status, 404);
  EXPECT_EQ(post("{}", "application/json").status, 400);
  EXPECT_THAT(engine_.Posts(), SizeIs(1));
}

TEST(Clients, AnthropicsMessagesAreScheduledAndCounted) {
  TestGateway t;
  t.AddEngine("a10");
  t.AddProfile("a10", 10);
  t.Start();
  const std::string body =
      R"({"model":"llama2-7b","max_tokens":8,"messages":[{"role":"user","content":"Hello"}])";
  for (const bool stream : {false, true}) {
    const HttpResponse response =
        Post(t.address(), "/v1/messages", body + (stream ? R"(,"stream":true})" : "}"),
             {"x-headrace-output-tokens: 8"});
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.Header("routing-strategy"), "slo");
    EXPECT_THAT(response.body, HasSubstr(stream ? "event: message_stop" : "\"end_turn\""));
    EXPECT_EQ(response.Header("x-accel-buffering"), stream ? "no" : "");
  }
  EXPECT_TRUE(Eventually([&] { return t.Status().learned_lengths == 2; })) << "by their usage";
  EXPECT_THAT(Post(t.address(), "/v1/messages/count_tokens", body + "}").body,
              HasSubstr("input_tokens"));
  const HttpResponse unknown = Post(t.address(), "/v1/messages", R"({"model":"gpt-9"})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, StartsWith(R"({"type":"error","error":{"type":"not_found_error")"));
}

// Two engines, each of which knows only its own responses.
TEST(Clients, WhatRefersToAResponseGoesToTheEngineThatHasIt) {
  TestGateway t;
  RecordingEngine engines[2];
  engines[0].Answer(R"({"id":"resp_0","object":"response","status":"completed"})");
  engines[1].Answer(R"({"id":"resp_1","object":"response","status":"completed"})");
  t.config.models[0].policy = "round-robin";
  for (const RecordingEngine& engine : engines) t.AddEndpoint("a10", engine.address());
  t.Start();
  std::map<std::string, std::string> owners;
  for (int i = 0; i < 2; ++i) {
    const HttpResponse response =
        Post(t.address(), "/v1/responses", R"({"model":"llama2-7b","input":"Hi"})");
    owners[response.body.substr(7, 6)] = response.Header("target-pod");
  }
  ASSERT_THAT(owners, SizeIs(2));
  for (const auto& [id, owner] : owners) {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(
          Post(t.address(), "/v1/responses",
               R"({"model":"llama2-7b","input":"Go on","previous_response_id":")" + id + "\"}")
              .Header("target-pod"),
          owner);
      EXPECT_EQ(Get(t.address(), "/v1/responses/" + id + "?stream=false").Header("target-pod"),
                owner);
      EXPECT_EQ(Send(t.address(), "POST /v1/responses/" + id + "/cancel").Header("target-pod"),
                owner);
      EXPECT_EQ(Send(t.address(), "DELETE /v1/responses/" + id).Header("target-pod"), owner);
    }
  }
  EXPECT_EQ(Get(t.address(), "/v1/responses/resp_9").status, 404);
  for (const char* way : {"/../../../metrics", "/%2e%2e/%2e%2e/metrics", "/cancel/..", "/other"}) {
    EXPECT_EQ(Get(t.address(), std::string("/v1/responses/resp_0") + way).status, 404) << way;
  }
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
}

TEST_F(ClientsTest, PathsAreTakenAsClientsWriteThem) {
  gateway_.config.base_path = "/llm";
  gateway_.config.passthrough = {"/v1/decisions"};
  Start();
  for (const char* path :
       {"/v1/chat/completions", "//v1/chat/completions", "/v1/chat/completions/",
        "/v1//chat/completions", "/llm/v1/chat/completions", "/openai/v1/chat/completions",
        "/openai/deployments/llama2-7b/chat/completions"}) {
    EXPECT_EQ(Post(address(), std::string(path) + "?api-version=1", ChatBody(1, false)).status, 200)
        << path;
    EXPECT_EQ(engine_.Posts().back().target, "/v1/chat/completions?api-version=1");
  }
  EXPECT_EQ(Post(address(), "/llmv1/chat/completions", ChatBody(1, false)).status, 404);
  EXPECT_EQ(Post(address(), "/v1/decisions", ChatBody(1, false)).status, 200);
  EXPECT_EQ(Get(address(), "/llm/").status, 200);
  EXPECT_EQ(Get(address(), "/v1/models/").status, 200);
}

TEST_F(ClientsTest, AzuresPathNamesTheModelOfABodyThatNamesNone) {
  gateway_.config.models[0].name = "org/llama";
  Start();
  EXPECT_EQ(
      Post(address(), "/openai/deployments/org%2Fllama/chat/completions", R"({"messages":[]})")
          .status,
      200);
  EXPECT_EQ(engine_.Posts().back().body, R"({"model":"org/llama","messages":[]})");
  EXPECT_EQ(Post(address(), "/openai/deployments/gpt-9/chat/completions", "{}").status, 404);
  EXPECT_EQ(Post(address(), "/openai/deployments/org%2Fllama/nothing", "{}").status, 404);
  EXPECT_EQ(Get(address(), "/v1/models/org%2Fllama").status, 200);
  EXPECT_EQ(Get(address(), "/v1/models/org/llama").status, 200);
}

TEST_F(ClientsTest, ToolsFindWhatTheyAskAnEngineFor) {
  Start();
  for (const char* path : {"/", "/version", "/health", "/ping", "/healthz", "/readyz"}) {
    EXPECT_EQ(Get(address(), path).status, 200) << path;
    const HttpResponse head = Send(address(), "HEAD " + std::string(path));
    EXPECT_EQ(head.status, 200) << path;
  }
}

TEST(Clients, HealthSaysWhetherAnEndpointIsUp) {
  TestGateway t;
  t.AddEndpoint("a10", "127.0.0.1:1");
  t.config.health.failures = 1;
  t.Start();
  EXPECT_TRUE(Eventually([&] { return Get(t.address(), "/health").status == 503; }));
  EXPECT_EQ(Get(t.address(), "/ping").status, 503);
}

TEST(Clients, AGatewayStandsBehindAGateway) {
  TestGateway inner;
  inner.AddEngine("a10", 1000, "a10", 4096);
  inner.AddProfile("a10", 10);
  inner.Start();
  ASSERT_TRUE(Eventually([&] { return inner.ContextOf("a10") == 4096; }));
  TestGateway outer;
  outer.AddEndpoint("inner", inner.address().ToString());
  outer.AddProfile("inner", 10);
  outer.Start();
  EXPECT_TRUE(Eventually([&] { return outer.ContextOf("inner") == 4096; }))
      << "as the inner one's /v1/models says";
  const HttpResponse response = outer.Chat(
      ChatBody(8, true),
      {"x-headrace-output-tokens: 8", "x-slo-e2e-ms: 60000", "X-Request-Id: through-both"});
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr("[DONE]"));
  EXPECT_EQ(response.Header("target-pod"), inner.address().ToString());
  EXPECT_EQ(response.Header("target-deployment"), "inner");
  EXPECT_EQ(response.Header("request-id"), "through-both");
  EXPECT_TRUE(Eventually([&] { return outer.Status().learned_lengths == 1; }));
  EXPECT_TRUE(Eventually([&] { return inner.Status().learned_lengths == 1; }));
  // A refusal of the inner one is told by the outer one as it came.
  const HttpResponse refused = outer.Chat(ChatBody(8, false), {"x-slo-e2e-ms: 1"});
  EXPECT_EQ(refused.status, 429);
  EXPECT_LE(inner.Metric("headrace_invalid_requests_total"), 1) << "for /metrics, once";
}

// --- Manners of HTTP

TEST_F(ClientsTest, TellsEnginesWhoTheClientIs) {
  Start();
  gateway_.Chat(ChatBody(1, false));
  EXPECT_THAT(engine_.Posts().back().fields, AllOf(HasSubstr("x-forwarded-for: 127.0.0.1\n"),
                                                   HasSubstr("x-forwarded-proto: http\n")));
  gateway_.Chat(ChatBody(1, false), {"X-Forwarded-For: 10.1.1.1", "X-Forwarded-For: 10.2.2.2",
                                     "X-Forwarded-Proto: https"});
  EXPECT_THAT(engine_.Posts().back().fields,
              AllOf(HasSubstr("x-forwarded-for: 10.1.1.1, 10.2.2.2, 127.0.0.1\n"),
                    HasSubstr("X-Forwarded-Proto: https\n"), Not(HasSubstr("proto: http\n"))));
}

TEST_F(ClientsTest, UnpacksBodies) {
  Start();
  const std::string body = ChatBody(1, false);
  for (const char* coding : {"gzip", "GZIP", "x-gzip", "deflate"}) {
    const HttpResponse response = Send(address(), "POST /v1/chat/completions",
                                       {"content-encoding: " + std::string(coding)}, Gzip(body));
    EXPECT_EQ(response.status, 200) << coding << response.body;
    EXPECT_EQ(engine_.Posts().back().body, body);
    EXPECT_THAT(engine_.Posts().back().fields, Not(HasSubstr("encoding: g")));
  }
  const auto post = [&](const std::string& coding, const std::string& sent) {
    return Send(address(), "POST /v1/chat/completions", {"content-encoding: " + coding}, sent);
  };
  EXPECT_EQ(post("identity", body).status, 200);
  EXPECT_EQ(post("gzip", body).status, 400);
  EXPECT_EQ(post("gzip", Gzip(body).substr(0, 30)).status, 400);
  const HttpResponse refused = post("br", body);
  EXPECT_EQ(refused.status, 415);
  EXPECT_THAT(refused.body, HasSubstr("send it as it is, or as gzip or deflate"));
  EXPECT_EQ(refused.Header("accept-encoding"), "gzip, deflate");
}

TEST_F(ClientsTest, ABodyIsNotLargerForBeingPacked) {
  gateway_.config.limits.body = 1 << 20;
  gateway_.config.limits.bodies = 4 << 20;
  Start();
  const std::string bomb = Gzip(std::string(std::size_t{256} << 20, ' '));
  ASSERT_LT(bomb.size(), 400'000u);
  const HttpResponse refused =
      Send(address(), "POST /v1/chat/completions", {"content-encoding: gzip"}, bomb);
  EXPECT_EQ(refused.status, 413);
  EXPECT_THAT(engine_.Posts(), IsEmpty());
  EXPECT_EQ(gateway_.Chat(ChatBody(1, false)).status, 200);
}

TEST_F(ClientsTest, BrowsersMayAskFromTheListedOrigins) {
  gateway_.config.cors.origins = {"https://app.example"};
  Start();
  const std::string origin = "Origin: https://app.example";
  const HttpResponse preflight =
      Send(address(), "OPTIONS /v1/chat/completions",
           {origin, "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization, content-type"});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.Header("access-control-allow-origin"), "https://app.example");
  EXPECT_THAT(preflight.Header("access-control-allow-methods"), HasSubstr("POST"));
  EXPECT_EQ(preflight.Header("access-control-allow-headers"), "authorization, content-type");

  const HttpResponse response = gateway_.Chat(ChatBody(1, false), {origin});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.Header("access-control-allow-origin"), "https://app.example");
  EXPECT_THAT(response.Header("access-control-expose-headers"), HasSubstr("target-pod"));
  EXPECT_EQ(response.Header("vary"), "origin");
  EXPECT_EQ(response.Header("access-control-allow-credentials"), "") << "the engine's word";
  // Errors too, or a page cannot read them; even those of a request that is none.
  for (const HttpResponse& error :
       {gateway_.Chat("{}", {origin}), Send(address(), "GET /nothing", {origin}),
        Send(address(), "POST /v1/chat/completions", {origin, "Content-Length: x"})}) {
    EXPECT_GE(error.status, 400);
    EXPECT_EQ(error.Header("access-control-allow-origin"), "https://app.example") << error.head;
  }
  const HttpResponse other = gateway_.Chat(ChatBody(1, false), {"Origin: https://evil.example"});
  EXPECT_EQ(other.Header("access-control-allow-origin"), "");
  EXPECT_EQ(gateway_.Chat(ChatBody(1, false)).Header("access-control-allow-origin"), "");
}

TEST_F(ClientsTest, AnyOriginMayBeListed) {
  gateway_.config.cors.origins = {"*"};
  Start();
  EXPECT_EQ(
      gateway_.Chat(ChatBody(1, false), {"Origin: null"}).Header("access-control-allow-origin"),
      "*");
}

TEST_F(ClientsTest, ATlsHelloIsAnsweredAtOnceAndNamedOnce) {
  Start();
  for (int i = 0; i < 3; ++i) {
    net::RawPeer peer(address());
    peer.Send(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
    EXPECT_EQ(ReadResponse(peer).status, 400) << "at once, in plain text";
  }
  EXPECT_TRUE(Eventually(
      [&] { return gateway_.Metric("headrace_invalid_requests_total{status=\"400\"}") == 3; }));
  EXPECT_THAT(gateway_.LinesWith("must begin with http://"), SizeIs(1));
}

// --- Names of models

TEST_F(ClientsTest, EnginesGetTheNameThatTheyKnow) {
  config::ModelConfig& model = gateway_.config.models[0];
  model.engine_name = "meta/Llama-2";
  model.aliases = {"llama", "gpt-4"};
  model.adapters = {"legal"};
  Start();
  const auto sent = [&](const std::string& model_name, const std::string& rest) {
    EXPECT_EQ(gateway_.Chat("{\"model\":\"" + model_name + "\"" + rest + "}").status, 200);
    return engine_.Posts().back().body;
  };
  EXPECT_EQ(sent("llama2-7b", ""), R"({"model":"meta/Llama-2"})");
  EXPECT_EQ(sent("gpt-4", R"(,"messages":[])"), R"({"model":"meta/Llama-2","messages":[]})");
  EXPECT_EQ(sent("legal", ""), R"({"model":"legal"})");
  EXPECT_EQ(sent("llama", R"(,"stream":true)"),
            R"({"stream_options":{"include_usage":true},"model":"meta/Llama-2","stream":true})");
  EXPECT_EQ(gateway_.Chat("{}").status, 400);
  EXPECT_EQ(gateway_.Chat(R"({"model":"other"})").status, 404);
}

TEST_F(ClientsTest, TheDefaultModelServesTheRest) {
  gateway_.config.models[0].is_default = true;
  Start();
  EXPECT_EQ(gateway_.Chat(R"({"messages":[]})").status, 200);
  EXPECT_EQ(engine_.Posts().back().body, R"({"model":"llama2-7b","messages":[]})");
  EXPECT_EQ(gateway_.Chat(R"({"messages":[],"model":"gpt-4"})").status, 200);
  EXPECT_EQ(engine_.Posts().back().body, R"({"messages":[],"model":"llama2-7b"})");
  EXPECT_EQ(gateway_.Chat("{}").status, 200);
  EXPECT_EQ(engine_.Posts().back().body, R"({"model":"llama2-7b"})");
}

// As vLLM lists them.
TEST_F(ClientsTest, AdaptersThatAnEngineListsAreServed) {
  gateway_.config.models[0].aliases = {"chat", "known-there"};
  engine_.Answer(R"({"object":"list","data":[
      {"id":"llama2-7b","parent":null,"max_model_len":2048},
      {"id":"known-there","parent":null,"max_model_len":2048},
      {"id":"sql-lora","root":"/lora/sql","parent":"llama2-7b"},
      {"id":"foreign","parent":"another"}]})");
  Start();
  EXPECT_TRUE(Eventually([&] { return Get(address(), "/v1/models/sql-lora").status == 200; }));
  EXPECT_EQ(Get(address(), "/v1/models/foreign").status, 404);
  const std::string models = Get(address(), "/v1/models").body;
  EXPECT_THAT(models, HasSubstr(R"("id":"sql-lora")"));
  EXPECT_THAT(models, HasSubstr(R"("root":"sql-lora","parent":"llama2-7b","max_model_len":2048)"));
  EXPECT_THAT(models, HasSubstr(R"("root":"llama2-7b","parent":null,"max_model_len":2048)"));
  for (const auto& [name, at_engine] : std::map<std::string, std::string>{
           {"sql-lora", "sql-lora"}, {"known-there", "known-there"}, {"chat", "llama2-7b"}}) {
    gateway_.Chat("{\"model\":\"" + std::string(name) + "\"}");
    EXPECT_EQ(engine_.Posts().back().body, "{\"model\":\"" + std::string(at_engine) + "\"}");
  }
}

// --- The access log

// The lines of the access log, once there are so many.
std::vector<std::string> AccessLines(const TestGateway& t, std::size_t count) {
  std::vector<std::string> lines;
  EXPECT_TRUE(Eventually([&] {
    lines.clear();
    std::ifstream file(t.config.log.access_file);
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines.size() >= count;
  }));
  return lines;
}

TEST_F(ClientsTest, TheAccessLogHasALineForEveryRequest) {
  using Json = nlohmann::json;
  gateway_.config.log.access = config::LogConfig::Access::kJson;
  gateway_.config.log.access_file = (gateway_.folder.path() / "access.log").string();
  gateway_.config.models[0].policy = "least-request";
  engine_.Answer(
      R"({"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3}})");
  Start();
  gateway_.Chat(ChatBody(3, false), {"X-Request-Id: one", "x-gateway-inference-fairness-id: team",
                                     "Authorization: Bearer sk-secret"});
  AccessLines(gateway_, 1);
  gateway_.Chat("{\"model\":\"x\\n\\\"y\"}");
  AccessLines(gateway_, 2);
  Get(address(), "/health?key=sk-secret");
  AccessLines(gateway_, 3);
  Send(address(), "POST /v1/chat/completions", {"Content-Length: x"});
  const std::vector<std::string> lines = AccessLines(gateway_, 4);
  ASSERT_THAT(lines, SizeIs(4));
  for (const std::string& line : lines) {
    EXPECT_THAT(line, AllOf(Not(HasSubstr("lake")), Not(HasSubstr("sk-secret")))) << "no secrets";
  }
  const Json served = Json::parse(lines[0]);
  EXPECT_EQ(served["request_id"], "one");
  EXPECT_THAT(std::string(served["client"]), StartsWith("127.0.0.1:"));
  EXPECT_EQ(served["method"], "POST");
  EXPECT_EQ(served["path"], "/v1/chat/completions");
  EXPECT_EQ(served["status"], 200);
  EXPECT_EQ(served["outcome"], "completed");
  EXPECT_EQ(served["model"], "llama2-7b");
  EXPECT_EQ(served["tenant"], "team");
  EXPECT_EQ(served["policy"], "least-request");
  EXPECT_EQ(served["endpoint"], engine_.address());
  EXPECT_EQ(served["prompt_tokens"], 9);
  EXPECT_EQ(served["output_tokens"], 3);
  EXPECT_EQ(served["estimated"], false);
  EXPECT_EQ(served["bytes_in"], ChatBody(3, false).size());
  EXPECT_GT(served["bytes_out"], 0);
  EXPECT_GT(served["e2e_ms"], 0);
  EXPECT_EQ(Json::parse(lines[1])["status"], 404);
  EXPECT_EQ(Json::parse(lines[1])["outcome"], "invalid");
  EXPECT_EQ(Json::parse(lines[2])["path"], "/health");
  EXPECT_NE(Json::parse(lines[2])["request_id"], "");
  EXPECT_EQ(Json::parse(lines[3])["status"], 400);
}

TEST_F(ClientsTest, TheAccessLogFollowsItsFileAndItsOptions) {
  config::LogConfig& log = gateway_.config.log;
  log.access = config::LogConfig::Access::kText;
  log.access_file = (gateway_.folder.path() / "access.log").string();
  Start();
  gateway_.Chat(R"({"model":"forged status=200\u000a"})");
  EXPECT_THAT(AccessLines(gateway_, 1)[0],
              AllOf(HasSubstr("status=404"), HasSubstr("model=\"forged status=200 \"")));
  log.access = config::LogConfig::Access::kNone;
  ASSERT_TRUE(gateway_.gateway->Apply(gateway_.config));
  {
    net::RawPeer client(gateway_.address());
    client.Send(PostText("/v1/chat/completions", ChatBody(1, false)));
    ReadResponse(client);
  }
  // Its line would be written before its connection ends.
  ASSERT_TRUE(Eventually([&] { return gateway_.Metric("headrace_client_connections") == 0; }));
  log.access = config::LogConfig::Access::kText;
  log.access_file = (gateway_.folder.path() / "no" / "such" / "folder").string();
  EXPECT_FALSE(gateway_.gateway->Apply(gateway_.config)) << "nothing has changed";
  log.access_file = (gateway_.folder.path() / "second.log").string();
  ASSERT_TRUE(gateway_.gateway->Apply(gateway_.config));
  gateway_.Chat(ChatBody(1, false));
  EXPECT_THAT(AccessLines(gateway_, 1), SizeIs(1));
}

// --- Strategies of AIBrix

TEST_F(ClientsTest, TheNearestPolicyServesAStrategyOfAIBrix) {
  Start();
  const HttpResponse nearest =
      gateway_.Chat(ChatBody(1, false), {"routing-strategy: prefix-cache"});
  EXPECT_EQ(nearest.status, 200);
  EXPECT_EQ(nearest.Header("routing-strategy"), "lmetric");
  EXPECT_EQ(nearest.Header("x-headrace-asked-strategy"), "prefix-cache");
  const HttpResponse list = gateway_.Chat(
      ChatBody(1, false), {"routing-strategy: throughput:1, least-latency:2.5,random"});
  EXPECT_EQ(list.Header("routing-strategy"), "least-latency");
  const HttpResponse own = gateway_.Chat(ChatBody(1, false), {"routing-strategy: random"});
  EXPECT_EQ(own.Header("x-headrace-asked-strategy"), "");
  for (const char* none : {"fastest", "random:x", "random,fastest", ",", "random:0"}) {
    EXPECT_EQ(gateway_.Chat(ChatBody(1, false), {"routing-strategy: " + std::string(none)}).status,
              400)
        << none;
  }
}

TEST_F(ClientsTest, OrAStrategyOfAIBrixIsRefused) {
  gateway_.config.nearest_strategy = false;
  Start();
  const HttpResponse refused =
      gateway_.Chat(ChatBody(1, false), {"routing-strategy: prefix-cache"});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.Header("x-error-invalid-routing-strategy"), "true");
}

}  // namespace
}  // namespace headrace::gateway
