// HTTP read strictly, through the whole gateway: what a client sends, what it gets, and what
// reached the engine.
#include <gmock/gmock.h>

#include "gateway/test_gateway.h"
#include "gateway/test_recording_engine.h"

namespace headrace::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class StrictHttpTest : public ::testing::Test {
 protected:
  void Start() {
    gateway_.config.models[0].policy = "least-request";
    gateway_.AddEndpoint("a10", engine_.address());
    gateway_.Start();
  }
  static std::string Chat(const std::string& fields, const std::string& rest) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + rest;
  }

  RecordingEngine engine_;
  TestGateway gateway_;
};

// What a second reader could take for a request of its own: it must never be served.
std::string Hidden() {
  return PostText("/v1/chat/completions", ChatBody(1, false, R"(,"hidden":1)"));
}

struct Case {
  std::string request;
  int status;
};

TEST_F(StrictHttpTest, WhatIsNotOneRequestIsRefusedAndTheConnectionClosed) {
  Start();
  const std::string body = ChatBody(1, false);
  const std::string sized = "Content-Length: " + std::to_string(body.size()) + "\r\n";
  const auto chunk = [&](const std::string& after_size, const std::string& end = "0\r\n\r\n") {
    char size[16];
    std::snprintf(size, sizeof size, "%zx", body.size());
    return Chat("Transfer-Encoding: chunked\r\n", size + after_size + "\r\n" + body + "\r\n" + end);
  };
  const auto with = [&](const std::string& field) { return Chat(sized + field + "\r\n", body); };
  const auto coded = [&](const std::string& codings) {
    return Chat("Transfer-Encoding: " + codings + "\r\n", "0\r\n\r\n");
  };
  const auto get = [](const std::string& target, const std::string& method = "GET") {
    return method + " " + target + " HTTP/1.1\r\nHost: h\r\n\r\n";
  };
  const auto host = [](const std::string& value) {
    return "GET /healthz HTTP/1.1\r\nHost: " + value + "\r\n\r\n";
  };
  const std::string nul(1, '\0');
  const std::vector<Case> cases = {
      // Framing.
      {coded("gzip"), 400},
      {coded("xchunked"), 400},
      {coded("chunked, identity"), 400},
      {coded("\"chunked\""), 400},
      {coded("chunked\r\nTransfer-Encoding: x"), 400},
      {coded("chunked\r\nContent-Length: 0"), 400},
      {coded("gzip, chunked"), 501},
      {"POST /v1/chat/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {Chat(sized + sized, body), 400},
      {Chat("Content-Length: +5\r\n", "12345"), 400},
      {chunk(";"), 400},
      {chunk(" "), 400},
      {chunk(nul), 400},
      {chunk(";a= b"), 400},
      {chunk("", "0\r\nno colon\r\n\r\n"), 400},
      {chunk("", "0\r\na : b\r\n\r\n"), 400},
      // Fields.
      {with("a : b"), 400},
      {with("a: b\r\n c"), 400},
      {with("a: " + nul), 400},
      {with("no colon"), 400},
      {"GET /healthz HTTP/1.1\nHost: h\n\n", 400},
      // Host.
      {host(""), 400},
      {host("h/path"), 400},
      {host("user@h"), 400},
      {host("a,b"), 400},
      {host("a b"), 400},
      {host("h:port"), 400},
      {host("h:99999"), 400},
      {"GET /healthz HTTP/1.1\r\n\r\n", 400},
      // Targets.
      {get("*"), 400},
      {get("h:80", "CONNECT"), 400},
      {get("/healthz\x80"), 400},
      {get("/healthz\\"), 400},
      {get("healthz"), 400},
      // Methods and versions.
      {get("/healthz", "BREW"), 501},
      {get("/healthz", "get"), 501},
      {"GET /healthz HTTP/2.0\r\nHost: h\r\n\r\n", 505},
  };
  for (const Case& tried : cases) {
    net::RawPeer client(gateway_.address());
    client.Send(tried.request + Hidden());
    const HttpResponse response = ReadResponse(client);
    EXPECT_EQ(response.status, tried.status) << tried.request;
    EXPECT_EQ(response.Header("connection"), "close") << tried.request;
    EXPECT_EQ(client.ReadAll(), "") << tried.request;
  }
  EXPECT_THAT(engine_.Posts(), IsEmpty());
}

TEST_F(StrictHttpTest, WhatIsRefusedForItsMeaningKeepsTheConnection) {
  Start();
  const std::vector<Case> cases = {
      {"TRACE /v1/chat/completions HTTP/1.1\r\nHost: h\r\n\r\n", 405},
      {"DELETE /v1/chat/completions HTTP/1.1\r\nHost: h\r\n\r\n", 405},
      {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 405},
      {"PUT /healthz HTTP/1.1\r\nHost: h\r\n\r\n", 405},
      {"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", 404},
      {"GET /healthz HTTP/1.2\r\nHost: h\r\n\r\n", 200},
      {"GET http://any:80/healthz HTTP/1.1\r\nHost: other\r\n\r\n", 200},
  };
  for (const Case& tried : cases) {
    net::RawPeer client(gateway_.address());
    client.Send(tried.request);
    const HttpResponse response = ReadResponse(client);
    EXPECT_EQ(response.status, tried.status) << tried.request;
    EXPECT_EQ(response.Header("allow").empty(), tried.status != 405) << tried.request;
    client.Send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(ReadResponse(client).status, 200) << tried.request;
  }
}

TEST_F(StrictHttpTest, TheEngineGetsThePathAndNoFieldOfTheClientsHop) {
  Start();
  const std::string body = ChatBody(1, false);
  net::RawPeer client(gateway_.address());
  client.Send(
      "POST http://gateway.example/v1/chat/completions?a=b HTTP/1.1\r\nHost: x\r\n"
      "Connection: X-One\r\nX-One: 1\r\nX-Two: 2\r\nX-Kept: 3\r\nconnection: close, x-two\r\n"
      "Via: 1.1 front\r\nTE: trailers\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(ReadResponse(client).status, 200);
  const auto posts = engine_.Posts();
  ASSERT_THAT(posts, SizeIs(1));
  EXPECT_EQ(posts[0].target, "/v1/chat/completions?a=b");
  EXPECT_THAT(posts[0].fields, HasSubstr("host: " + engine_.address() + "\n"));
  EXPECT_THAT(posts[0].fields, HasSubstr("X-Kept: 3\n"));
  EXPECT_THAT(posts[0].fields, HasSubstr("Via: 1.1 front\n"));
  EXPECT_THAT(posts[0].fields, HasSubstr("via: 1.1 headrace\n"));
  EXPECT_THAT(posts[0].fields, Not(HasSubstr("X-One")));
  EXPECT_THAT(posts[0].fields, Not(HasSubstr("X-Two")));
  EXPECT_THAT(posts[0].fields, Not(HasSubstr("TE:")));
}

TEST_F(StrictHttpTest, NothingIsEchoedAtLengthOrAsInvalidText) {
  Start();
  const std::string lengthy(20'000, 'x');
  const std::string invalid = "\xff\xfe";
  const std::vector<std::string> requests = {
      "GET /" + lengthy + " HTTP/1.1\r\nHost: h\r\n\r\n",
      "DELETE /v1/models/" + lengthy + " HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /v1/models/" + lengthy + " HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: h\r\nx-request-id: " + lengthy + "\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: h\r\nx-request-id: " + invalid + "\r\n\r\n",
      PostText("/v1/chat/completions", R"({"model":")" + lengthy + R"("})"),
      PostText("/v1/chat/completions", ChatBody(1, false), {"routing-strategy: " + lengthy}),
      PostText("/v1/chat/completions", ChatBody(1, false), {"routing-strategy: " + invalid}),
      PostText("/v1/chat/completions", ChatBody(1, false), {"x-slo-ttft-ms: " + invalid}),
      PostText("/v1/chat/completions", ChatBody(1, false), {"x-headrace-explain: " + lengthy}),
  };
  for (const std::string& request : requests) {
    net::RawPeer client(gateway_.address());
    client.Send(request);
    const HttpResponse response = ReadResponse(client);
    EXPECT_GT(response.status, 0) << request.substr(0, 100);
    EXPECT_LT(response.head.size() + response.body.size(), 1500U) << request.substr(0, 100);
    EXPECT_EQ((response.head + response.body).find('\xff'), std::string::npos)
        << request.substr(0, 100);
  }
}

TEST_F(StrictHttpTest, ABodyThatTricklesInIsCutWhenTheRequestsTimeIsUp) {
  gateway_.config.timeouts.request = 0.3;
  Start();
  net::RawPeer client(gateway_.address());
  client.Send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
  // Each byte is in time; all of them would take far longer than the request may.
  std::thread trickle([&] {
    while (client.Send("x")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  EXPECT_EQ(ReadResponse(client).status, 408);
  EXPECT_EQ(client.ReadAll(), "");
  trickle.join();
}

TEST_F(StrictHttpTest, UnfinishedBodiesHaveABudgetTogether) {
  gateway_.config.limits.body = std::size_t{1} << 20;
  gateway_.config.limits.bodies = std::size_t{1} << 20;
  Start();
  // Both announce most of the budget; each is sent but for its last byte.
  const std::string head =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n";
  net::RawPeer first(gateway_.address());
  net::RawPeer second(gateway_.address());
  first.Send(head + std::string(899'999, ' '));
  second.Send(head + std::string(899'999, ' '));
  // One of them is told to come again, whichever came second.
  pollfd ready[] = {{first.descriptor(), POLLIN, 0}, {second.descriptor(), POLLIN, 0}};
  ASSERT_GT(::poll(ready, 2, 20'000), 0);
  net::RawPeer& refused = (ready[0].revents & POLLIN) != 0 ? first : second;
  net::RawPeer& kept = &refused == &first ? second : first;
  const HttpResponse response = ReadResponse(refused);
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.Header("retry-after"), "1");
  EXPECT_THAT(response.body, StartsWith(R"({"error":)"));
  EXPECT_EQ(refused.ReadAll(), "");
  // The other one goes on, and what is refused or over no longer counts.
  kept.Send(" ");
  EXPECT_EQ(ReadResponse(kept).status, 400);  // Blanks are no JSON.
  const std::string large = ChatBody(1, false, R"(,"x":")" + std::string(900'000, 'x') + "\"");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Eventually([&] { return gateway_.Chat(large).status == 200; })) << i;
  }
}

// --- Clients that send no more

TEST_F(StrictHttpTest, AClientThatEndsItsHalfGetsItsAnswers) {
  Start();
  net::RawPeer client(gateway_.address());
  client.Send(PostText("/v1/chat/completions", ChatBody(1, false)) +
              PostText("/v1/chat/completions", ChatBody(2, false)));
  client.EndSending();
  const std::string answers = client.ReadAll();
  EXPECT_THAT(engine_.Posts(), SizeIs(2));
  std::size_t count = 0;
  for (std::size_t at = 0; (at = answers.find("HTTP/1.1 200 OK", at)) != answers.npos; ++at)
    ++count;
  EXPECT_EQ(count, 2U);
}

TEST_F(StrictHttpTest, AStreamGoesOnAfterTheClientHasEndedItsHalf) {
  gateway_.config.models[0].policy = "least-request";
  gateway_.AddEngine("a10", 20);
  gateway_.Start();
  net::RawPeer client(gateway_.address());
  client.Send(PostText("/v1/chat/completions", ChatBody(40, true)));
  EXPECT_THAT(client.ReadUntil("data: "), HasSubstr("200 OK"));
  client.EndSending();
  EXPECT_THAT(client.ReadUntil("data: [DONE]\n\n"), HasSubstr("finish_reason"));
  EXPECT_TRUE(Eventually([&] { return gateway_.Idle(); }));
}

TEST_F(StrictHttpTest, AClientThatClosesIsStillNoticedAtOnce) {
  gateway_.config.models[0].policy = "least-request";
  auto& engine = gateway_.AddEngine("a10", 1);  // A minute's work.
  gateway_.Start();
  for (const bool stream : {false, true}) {
    net::RawPeer client(gateway_.address());
    client.Send(PostText("/v1/chat/completions", ChatBody(1000, stream)));
    ASSERT_TRUE(Eventually([&] { return RunningAt(engine) > 0; }));
    client.Close();
    EXPECT_TRUE(Eventually([&] { return gateway_.Idle(); })) << stream;
  }
}

// --- Health checks

TEST(HealthChecks, AreSpreadEvenlyOverTheInterval) {
  std::vector<int> buckets(100);
  for (std::size_t n = 0; n < 1000; ++n) ++buckets[static_cast<std::size_t>(ProbePhase(n) * 100)];
  EXPECT_THAT(buckets, ::testing::Each(::testing::AllOf(::testing::Ge(9), ::testing::Le(11))));
}

}  // namespace
}  // namespace headrace::gateway
