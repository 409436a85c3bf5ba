// HTTP read strictly, through the whole gateway: what a client sends, what it gets, and what
// reached the engine.
#include <gmock/gmock.h>

#include "gateway/test_gateway.h"
#include "gateway/test_recording_engine.h"

namespace headrace::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
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
  const auto line = [](const std::string& request_line) {
    return request_line + "\r\nHost: h\r\n\r\n";
  };
  const auto length = [](const std::string& value) {
    return Chat("Content-Length: " + value + "\r\n", "hello");
  };
  const auto chunks = [](const std::string& text) {
    return Chat("Transfer-Encoding: chunked\r\n", text);
  };
  const auto field = [](const std::string& text) {
    return "GET /healthz HTTP/1.1\r\nHost: h\r\n" + text + "\r\n\r\n";
  };
  const std::string nul(1, '\0');
  const std::vector<Case> cases = {
      // Framing.
      {coded("gzip"), 400},
      {coded("identity"), 400},
      {coded(""), 400},
      {coded(", chunked"), 400},
      {coded("chunked,"), 400},
      {coded("chunked, chunked"), 400},
      {coded("chunked, gzip"), 400},
      {coded("chunked;a=b"), 400},
      {coded("\vchunked"), 400},
      {coded("\fchunked"), 400},
      {coded("chunked" + nul), 400},
      {coded("\r\n chunked"), 400},
      {coded("chunked\r\nTransfer-Encoding: identity"), 400},
      {Chat("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400},
      {Chat("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {Chat("Content-Length: 30\r\nTRANSFER-ENCODING: Chunked \r\n", "0\r\n\r\n"), 400},
      {"POST /v1/chat/completions HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
       "Content-Length: 5\r\n\r\nhello",
       400},
      {"OPTIONS /healthz HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n"
       "Content-Length: 5\r\n\r\nhello",
       400},
      {length(""), 400},
      {length("abc"), 400},
      {length("5x"), 400},
      {length("-1"), 400},
      {length("-0"), 400},
      {length("-123456789123456789123456789"), 400},
      {length("99999999999999999999"), 400},
      {length("0x5"), 400},
      {length("0o5"), 400},
      {length("1_0"), 400},
      {length("1 0"), 400},
      {length("5, 5"), 400},
      {length("5, 10"), 400},
      {length("5\r\nContent-Length: 10"), 400},
      {length("5\r\nContent-Length : 5"), 400},
      {length("999999999"), 413},
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
      {chunks("+5\r\nhello\r\n0\r\n\r\n"), 400},
      {chunks("-1\r\nhello\r\n0\r\n\r\n"), 400},
      {chunks("0x5\r\nhello\r\n0\r\n\r\n"), 400},
      {chunks("1_0\r\nhello world!!!!!\r\n0\r\n\r\n"), 400},
      {chunks(" 5\r\nhello\r\n0\r\n\r\n"), 400},
      {chunks("FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n"), 400},
      {chunks("5\nhello\r\n0\r\n\r\n"), 400},
      {chunks("5\rhello\r\n0\r\n\r\n"), 400},
      {chunks("5;\nhello\r\n0\r\n\r\n"), 400},
      {chunks("5;a\rb\r\nhello\r\n0\r\n\r\n"), 400},
      {chunks("5;bad[=x\r\nhello\r\n0\r\n\r\n"), 400},
      {chunks("5;" + nul + "\r\nhello\r\n0\r\n\r\n"), 400},
      {chunks("5;a=" + std::string(65'536, 'x') + "\r\nhello\r\n0\r\n\r\n"), 400},
      {chunks("5\r\nhello!!\r\n0\r\n\r\n"), 400},
      {chunks("5\r\nhello0\r\n\r\n"), 400},
      {chunks("5\r\nhello\n0\r\n\r\n"), 400},
      {chunks("5\r\nhello\r\n0\r\n\n"), 400},
      {chunks("+0\r\n\r\n"), 400},
      // Fields.
      {field(": value"), 400},
      {field("a[b: c"), 400},
      {field("a\tb: c"), 400},
      {field("X-T\xc3\xab: c"), 400},
      {field("a: b\rc"), 400},
      {field("a: b\ac"), 400},
      {field("a: b\nc: d"), 400},
      {line("GET /healthz HTTP/1.1\r\n "), 400},
      {"GET /healthz HTTP/1.1\r\nHost: h\r\n\rA: b\r\n\r\n", 400},
      {field(std::string(100'000, 'x') + ": v"), 431},
      {field("a: " + std::string(100'000, 'x')), 431},
      {field([] {
         std::string many;
         for (int i = 0; i < 1000; ++i) many += "a: b\r\n";
         return many + "a: b";
       }()),
       431},
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
      {host("h\r\nHost: h"), 400},
      {host("h\r\nHost: other"), 400},
      {"GET /healthz HTTP/1.1\r\n\r\n", 400},
      // Targets.
      {get("*"), 400},
      {get("h:80", "CONNECT"), 400},
      {get("/healthz\x80"), 400},
      {get("/healthz\\"), 400},
      {get("healthz"), 400},
      {get("/healthz#part"), 400},
      {get("/heal thz"), 400},
      {get("/healthz" + nul), 400},
      {get("/healthz\xc0\xaf"), 400},
      {get("/" + std::string(100'000, 'x')), 431},
      // Methods and versions.
      {get("/healthz", "BREW"), 501},
      {get("/healthz", "get"), 501},
      {get("/healthz", "Extra lineGET"), 400},
      {get("/healthz", std::string(100'000, 'x')), 431},
      {line("GET  /healthz HTTP/1.1"), 400},
      {line("GET\t/healthz HTTP/1.1"), 400},
      {line("GET HTTP/1.1"), 400},
      {line("GET /healthz "), 400},
      {line("GET /healthz"), 400},
      {line("GET /healthz http/1.1"), 400},
      {line("GET /healthz HTTP/1"), 400},
      {line("GET /healthz HTTP/01.01"), 400},
      {line("GET /healthz HTTP/ 1.1"), 400},
      {line("GET /healthz HTTP/1.1\rA: b"), 400},
      {line("GET /healthz HTTP/9.9"), 505},
      {line("GET /healthz HTTP/2.0"), 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"\x16\x03\x01\x02\xff\xfe\r\n\r\n", 400},
      {std::string(" \r\n\r\n"), 400},
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
      {"TRACE /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", 405},
      {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 204},
      {"OPTIONS /v1/models HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", 204},
      {"PUT /healthz HTTP/1.1\r\nHost: h\r\n\r\n", 405},
      {"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", 404},
      {"GET /healthz HTTP/1.2\r\nHost: h\r\n\r\n", 200},
      {"GET http://any:80/healthz HTTP/1.1\r\nHost: other\r\n\r\n", 200},
      {"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", 200},
      {"GET /healthz HTTP/1.1\r\nhoSt:\th\r\nempty:\r\nblank: \r\n\r\n", 200},
      {"GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", 200},
      {"GET /healthz HTTP/1.1\r\nHost: h\r\nExpect: nothing\r\n\r\n", 200},
      {"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
       200},
      {"GET /healthz HTTP/1.1\r\nHost: h\r\nUpgrade: some/1.0\r\n\r\n", 200},
      {"GET /healthz HTTP/1.1\r\nHost: h\r\nRange: bytes=abc-xyz\r\n\r\n", 200},
      {"GET /healthz HTTP/1.1\r\nHost: h\r\nAccept: application/x-nonsense\r\n\r\n", 200},
      {"GET /" + std::string(8000, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", 404},
      {"GET /%00%0d%0aa:%20b HTTP/1.1\r\nHost: h\r\n\r\n", 404},
      {"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 400},
      {"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
       "0\r\n\r\n",
       400},
  };
  for (const Case& tried : cases) {
    net::RawPeer client(gateway_.address());
    client.Send(tried.request);
    const HttpResponse response = ReadResponse(client);
    EXPECT_EQ(response.status, tried.status) << tried.request;
    EXPECT_EQ(response.Header("allow").empty(), tried.status != 405 && tried.status != 204)
        << tried.request;
    EXPECT_THAT(response.Header("date"), MatchesRegex("[A-Z][a-z]+, .* GMT")) << tried.request;
    client.Send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(ReadResponse(client).status, 200) << tried.request;
  }
}

// Each way to write a body is the same body to the engine.
TEST_F(StrictHttpTest, TheEngineGetsTheBodyHoweverItIsFramed) {
  Start();
  const std::string body = ChatBody(1, false);
  const std::string size = std::to_string(body.size());
  const auto hex = [](std::size_t number, const char* form) {
    char digits[16];
    std::snprintf(digits, sizeof digits, form, number);
    return std::string(digits);
  };
  const auto chunked = [](const std::string& text, const std::string& fields = "") {
    return Chat(fields + "Transfer-Encoding: chunked\r\n", text);
  };
  const std::string whole = hex(body.size(), "%zx");
  const std::string end = "0\r\n\r\n";
  std::string bytes;
  for (const char c : body) bytes += "1\r\n" + std::string(1, c) + "\r\n";
  const std::vector<std::string> requests = {
      Chat("Content-Length:" + size + "\r\n", body),
      Chat("Content-Length:\t" + size + "\r\n", body),
      Chat("Content-Length:  " + size + " \r\n", body),
      Chat("content-lengtH: 00" + size + "\r\n", body),
      Chat("Content_Length: 5\r\nContent-Length: " + size + "\r\n", body),
      Chat("Transfer_Encoding: chunked\r\nContent-Length: " + size + "\r\n", body),
      Chat("Expect: 100-continue\r\nContent-Length: " + size + "\r\n", body),
      Chat("Range: bytes=0-10\r\nContent-Length: " + size + "\r\n", body),
      Chat("Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: " + size + "\r\n", body),
      "POST /v1/chat/completions HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: " + size +
          "\r\n\r\n" + body,
      chunked(whole + "\r\n" + body + "\r\n" + end),
      chunked(hex(body.size(), "%zX") + "\r\n" + body + "\r\n" + end),
      chunked(hex(body.size(), "%012zx") + "\r\n" + body + "\r\n" + end),
      chunked(whole + ";a;b=c;d=\"e\\\"f\"\r\n" + body + "\r\n" + end),
      chunked(bytes + end),
      chunked(whole + "\r\n" + body + "\r\n0\r\nX-Checksum: abc\r\n\r\n"),
      // What a trailer says never counts.
      chunked(whole + "\r\n" + body +
              "\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n"
              "Authorization: evil\r\nContent-Type: evil/evil\r\n\r\n"),
      Chat("Transfer-Encoding:\tChunked\r\n", whole + "\r\n" + body + "\r\n" + end),
  };
  for (const std::string& request : requests) {
    const std::size_t before = engine_.Posts().size();
    net::RawPeer client(gateway_.address());
    client.Send(request);
    EXPECT_EQ(ReadResponse(client).status, 200) << request;
    const auto posts = engine_.Posts();
    ASSERT_THAT(posts, SizeIs(before + 1)) << request;
    EXPECT_EQ(posts.back().body, body) << request;
    EXPECT_THAT(posts.back().fields, Not(HasSubstr("evil"))) << request;
  }
}

TEST_F(StrictHttpTest, ARequestMayBeCutAnywhere) {
  Start();
  const std::string request = PostText("/v1/chat/completions", ChatBody(1, false));
  for (std::size_t cut = 1; cut < request.size(); ++cut) {
    net::RawPeer client(gateway_.address());
    client.Send(request.substr(0, cut));
    // An answer to the start would be seen instead of the one to the whole.
    pollfd ready = {client.descriptor(), POLLIN, 0};
    EXPECT_EQ(::poll(&ready, 1, 1), 0) << request.substr(0, cut);
    client.Send(request.substr(cut));
    EXPECT_EQ(ReadResponse(client).status, 200) << cut;
  }
  EXPECT_THAT(engine_.Posts(), SizeIs(request.size() - 1));
}

TEST_F(StrictHttpTest, ConnectionsPersistAsTheClientSays) {
  Start();
  const auto get = [](const std::string& version, const std::string& fields) {
    return "GET /healthz HTTP/" + version + "\r\nHost: h\r\n" + fields + "\r\n";
  };
  const std::vector<std::pair<std::string, bool>> cases = {
      {get("1.1", ""), true},
      {get("1.1", "Connection: close\r\n"), false},
      {get("1.1", "Connection: x, CLOSE\r\n"), false},
      {get("1.0", ""), false},
      {get("1.0", "Connection: keep-alive\r\n"), true},
      {"GET /healthz HTTP/1.0\r\n\r\n", false},
      {"HEAD /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
  };
  for (const auto& [request, persists] : cases) {
    net::RawPeer client(gateway_.address());
    client.Send(request);
    if (!persists) client.Send(get("1.1", ""));  // Not to be served.
    if (persists) client.EndSending();
    const std::string answers = client.ReadAll();
    EXPECT_THAT(answers, StartsWith("HTTP/1.1 200 ")) << request;
    EXPECT_EQ(answers.find("HTTP/1.1", 1), answers.npos) << request;
    EXPECT_EQ(answers.find("connection: close") == answers.npos, persists) << request;
    EXPECT_EQ(answers.ends_with("\r\n\r\n"), request.starts_with("HEAD")) << request;
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
