#include "net/http_server.h"

#include <gmock/gmock.h>

#include <atomic>

#include "net/test_one_shot.h"
#include "net/test_server.h"

namespace headrace::net {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(ServerTest, TellsTheHandlerWhatWasAsked) {
  std::string seen;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    seen.append(exchange.method()).append("|").append(exchange.target()).append("|");
    seen.append(exchange.path()).append("|").append(exchange.query()).append("|");
    seen.append(exchange.Header("X-NAME")).append("|").append(exchange.Header("absent"));
    seen.append("|").append(exchange.body());
    const ResponseHead head(204);
    co_await exchange.Respond(head, "");
  });
  EXPECT_THAT(Ask("POST /v1/x?a=b&c HTTP/1.1\r\nHost: h\r\nx-name:  value \r\n"
                  "Content-Length: 4\r\nConnection: close\r\n\r\nbody"),
              StartsWith("HTTP/1.1 204 No Content\r\n"));
  EXPECT_EQ(seen, "POST|/v1/x?a=b&c|/v1/x|a=b&c|value||body");
}

TEST_F(ServerTest, UnderstandsAbsoluteTargets) {
  std::string seen;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    seen.append(exchange.path()).append("|").append(exchange.query());
    const ResponseHead head(200);
    co_await exchange.Respond(head, "");
  });
  Ask("GET http://host:80/a/b?c HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(seen, "/a/b|c");
}

TEST_F(ServerTest, PipelinedRequestsTakeTurnsWithOtherClients) {
  std::string served;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    if (exchange.path() != "/-") served += exchange.path().substr(1);  // On one thread.
    const ResponseHead head(200);
    co_await exchange.Respond(head, "");
  });
  const auto get = [](const std::string& path) {
    return "GET /" + path + " HTTP/1.1\r\nHost: h\r\n\r\n";
  };
  // Both on one thread: connections are dealt out in turn.
  RawPeer greedy = Connect();
  RawPeer elsewhere = Connect();
  RawPeer modest = Connect();
  for (RawPeer* peer : {&greedy, &elsewhere, &modest}) {
    peer->Send(get("-"));
    peer->ReadUntil("\r\n\r\n");
  }
  std::string many;
  for (int i = 0; i < 200; ++i) many += get("g");
  threads_[0].Run([&] {  // All of it is there when the thread looks.
    greedy.Send(many);
    modest.Send(get("m"));
  });
  modest.ReadUntil("\r\n\r\n");
  for (int i = 0; i < 200; ++i) greedy.ReadUntil("\r\n\r\n");
  threads_[0].Run([&] {
    EXPECT_LT(served.find('m'), 5U);
    EXPECT_EQ(served.size(), 201U);
  });
}

TEST_F(ServerTest, KeepsTheConnectionAndServesPipelinedRequestsInOrder) {
  Serve(Echo);
  RawPeer client = Connect();
  for (int i = 0; i < 3; ++i) {
    client.Send("POST /" + std::to_string(i) +
                " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nb" + std::to_string(i));
    const std::string answer = client.ReadUntil("b" + std::to_string(i));
    EXPECT_THAT(answer, HasSubstr("x-target: /" + std::to_string(i) + "\r\n"));
    EXPECT_THAT(answer, HasSubstr("content-length: 2\r\n"));
    EXPECT_THAT(answer, Not(HasSubstr("connection: close")));
  }
  client.Send(
      "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nonePOST /b HTTP/1.1\r\nHost: h\r\n"
      "Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n"
      "Connection: close\r\n\r\n");
  const std::string answers = client.ReadAll();
  const std::size_t a = answers.find("x-target: /a");
  const std::size_t b = answers.find("x-target: /b");
  const std::size_t c = answers.find("x-target: /c");
  EXPECT_LT(a, b);
  EXPECT_LT(b, c);
  EXPECT_NE(c, std::string::npos);
}

// A body that is read straight into its place takes nothing of what follows.
TEST_F(ServerTest, ServesARequestRightBehindABigBody) {
  Serve(Echo);
  for (const std::size_t size : {20'000, 256 * 1024, 600'000}) {
    RawPeer client = Connect();
    const std::string body(size, 'b');
    std::string all = "POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(size) +
                      "\r\n\r\n" + body;
    all += "POST /second HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    const auto sent = std::async(std::launch::async, [&] { client.Send(all); });
    EXPECT_THAT(client.ReadUntil(body), HasSubstr("/first"));
    const std::string second = client.ReadUntil("abc");
    EXPECT_THAT(second, HasSubstr("/second"));
    sent.wait();
  }
}

TEST_F(ServerTest, ServesHttp10) {
  Serve([](HttpExchange& exchange) -> Task<void> {
    const ResponseHead head(200);
    exchange.Start(head);
    co_await exchange.Write("streamed ");
    co_await exchange.WriteLast("body");
  });
  const std::string answer = Ask("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(answer, EndsWith("\r\n\r\nstreamed body"));
  EXPECT_THAT(answer, Not(HasSubstr("chunked")));
  EXPECT_THAT(answer, HasSubstr("connection: close\r\n"));
}

TEST_F(ServerTest, KeepsHttp10ConnectionsThatAskForIt) {
  Serve(Echo);
  RawPeer client = Connect();
  for (int i = 0; i < 2; ++i) {
    client.Send("POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi");
    EXPECT_THAT(client.ReadUntil("\r\n\r\nhi"), HasSubstr("connection: keep-alive\r\n"));
  }
}

TEST_F(ServerTest, StreamsInChunks) {
  Serve([](HttpExchange& exchange) -> Task<void> {
    ResponseHead head(200);
    head.Add("content-type", "text/event-stream");
    exchange.Start(head);
    co_await exchange.Write("first");
    co_await exchange.Write("");
    const std::string_view pieces[] = {"sec", "", "ond"};
    co_await exchange.Write(pieces);
    co_await exchange.Finish();
  });
  const std::string answer = Ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("transfer-encoding: chunked\r\n"));
  EXPECT_THAT(answer, HasSubstr("content-type: text/event-stream\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"));
}

TEST_F(ServerTest, SendsHeadAheadOfTheBodyWhenFlushed) {
  std::optional<OneShot<int>::Setter> go;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    OneShot<int> shot(exchange.thread());
    go.emplace(shot.setter());
    const ResponseHead head(200);
    exchange.Start(head);
    co_await exchange.Flush();
    co_await shot.Wait(system::MonotonicNow() + kLong);
    co_await exchange.WriteLast("x");
  });
  RawPeer client = Connect();
  client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  go->Set(1);
  EXPECT_EQ(client.ReadUntil("0\r\n\r\n"), "1\r\nx\r\n0\r\n\r\n");
}

TEST_F(ServerTest, ServesHeadWithoutABody) {
  Serve(Echo);
  RawPeer client = Connect();
  client.Send("HEAD /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("content-length: 5\r\n"));
  client.Send("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_THAT(client.ReadUntil("hi"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ServerTest, AsksForTheBodyWhenTheClientWaitsForThat) {
  Serve(Echo);
  RawPeer client = Connect();
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("hi");
  EXPECT_THAT(client.ReadUntil("hi"), StartsWith("HTTP/1.1 200 OK\r\n"));
  client.Send(
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("2\r\nho\r\n0\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("ho"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ServerTest, ReadsRequestsThatComeByteByByte) {
  Serve(Echo);
  RawPeer client = Connect();
  for (const char c : std::string_view("\r\nPOST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                                       "chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n"
                                       "Trailer: t\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n"
                                       "Connection: close\r\n\r\n")) {
    client.Send({&c, 1});
  }
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, HasSubstr("\r\n\r\nabc0123456789HTTP/1.1 200 OK"));
  EXPECT_THAT(answer, HasSubstr("x-target: /next"));
}

TEST_F(ServerTest, TakesAndGivesBigBodies) {
  std::string body(20'000'000, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i * 7 % 26);
  std::atomic<std::size_t> capacity = 0;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    capacity = exchange.body().capacity();
    co_await Echo(exchange);
  });
  RawPeer client = Connect();
  std::thread sender([&] {
    client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n" + body);
  });
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("content-length: 20000000\r\n"));
  sender.join();
  EXPECT_TRUE(client.ReadCount(body.size()) == body);
  EXPECT_GE(capacity, body.size() + 64);

  std::thread chunk_sender([&] {
    client.Send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (std::size_t at = 0; at < body.size(); at += 100'000) {
      client.Send("186A0\r\n" + body.substr(at, 100'000) + "\r\n");
    }
    client.Send("0\r\n\r\n");
  });
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("content-length: 20000000\r\n"));
  chunk_sender.join();
  EXPECT_TRUE(client.ReadCount(body.size()) == body);
  EXPECT_GE(capacity, body.size() + 64);
}

// What limits.bodies counts is what the bodies take.
TEST_F(ServerTest, ASmallBodyDoesNotTakeTheMemoryOfABigOneBeforeIt) {
  std::atomic<std::size_t> capacity = 0;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    capacity = exchange.body().capacity();
    const ResponseHead head(200);
    co_await exchange.Respond(head, "");
  });
  RawPeer client = Connect();
  for (const std::size_t size : {std::size_t{3'000'000}, std::size_t{20'000}}) {
    client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(size) +
                "\r\n\r\n" + std::string(size, 'x'));
    client.ReadUntil("\r\n\r\n");
    EXPECT_GE(capacity, size);
    EXPECT_LE(capacity, 3 * size);
  }
}

TEST_F(ServerTest, RefusesWhatIsNotHttp) {
  std::atomic<int> served = 0;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    ++served;
    co_await Echo(exchange);
  });
  for (const std::string_view request : {
           "nonsense\r\n\r\n",
           "GET / HTTP/1.1\r\n\r\n",                           // No host.
           "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",     // Two.
           "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",  //
           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -2\r\n\r\n",
           "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n",
       }) {
    const std::string answer = Ask(request);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 Bad Request\r\n")) << request;
    EXPECT_THAT(answer, HasSubstr("connection: close\r\n"));
  }
  EXPECT_EQ(served, 0);
}

TEST_F(ServerTest, RefusesHeadsAndBodiesOverTheLimits) {
  HttpServerOptions options;
  options.max_head_bytes = 1000;
  options.max_body_bytes = 1000;
  options.error_content_type = "application/json";
  options.error_body = [](int status, std::string_view reason) {
    return "{\"" + std::to_string(status) + "\":\"" + std::string(reason) + "\"}";
  };
  Serve(Echo, options);
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_THAT(Ask(post + "x: " + std::string(2000, 'x') + "\r\n\r\n"),
              EndsWith("\r\n\r\n{\"431\":\"Request Header Fields Too Large\"}"));
  EXPECT_THAT(Ask(post + "x: " + std::string(100'000, 'x')), StartsWith("HTTP/1.1 431 "));
  // Refused from its announcement alone.
  EXPECT_THAT(Ask(post + "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n"),
              StartsWith("HTTP/1.1 413 Content Too Large\r\n"));
  // The client reads the refusal although it was still sending.
  EXPECT_THAT(Ask(post + "Content-Length: 3000000\r\n\r\n" + std::string(3'000'000, 'x')),
              HasSubstr("content-type: application/json\r\n"));
  EXPECT_THAT(Ask(post + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x')),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(
      Ask(post + "Content-Length: 1000\r\nConnection: close\r\n\r\n" + std::string(1000, 'x')),
      StartsWith("HTTP/1.1 200 "));
}

TEST_F(ServerTest, DoesNotWaitForeverForARequest) {
  HttpServerOptions options;
  options.head_timeout = options.body_timeout = options.idle_timeout = 0.05;
  Serve(Echo, options);
  EXPECT_THAT(Ask("GET / HTT"), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(Ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"),
              StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(Ask("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
              StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(Ask(""), "");
}

TEST_F(ServerTest, RespondsForAHandlerThatFails) {
  std::string what;
  HttpServerOptions options;
  options.handler_threw = [&](std::string_view text) { what = text; };
  Serve(
      [&](HttpExchange& exchange) -> Task<void> {
        if (exchange.path() == "/throw") throw std::runtime_error("broken handler");
        if (exchange.path() == "/start") {
          const ResponseHead head(200);
          exchange.Start(head);
        }
        if (exchange.path() == "/half") {
          const ResponseHead head(200);
          exchange.Start(head, 10);
          co_await exchange.Write("hal");
        }
      },
      options);
  const std::string rest = " HTTP/1.1\r\nHost: h\r\n\r\n";
  EXPECT_THAT(Ask("GET /nothing" + rest), StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
  EXPECT_THAT(Ask("GET /throw" + rest), StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
  EXPECT_EQ(what, "broken handler");
  EXPECT_THAT(Ask("GET /start" + rest), StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
  EXPECT_THAT(Ask("GET /half" + rest), EndsWith("content-length: 10\r\n\r\nhal"));
}

TEST_F(ServerTest, LengthThatIsNotKeptBreaksTheResponseOff) {
  Serve([&](HttpExchange& exchange) -> Task<void> {
    const ResponseHead head(200);
    exchange.Start(head, 5);
    co_await exchange.Write("four");
    if (exchange.path() == "/more") {
      EXPECT_FALSE(co_await exchange.Write("more"));
    } else {
      EXPECT_FALSE(co_await exchange.Finish());
    }
  });
  const std::string rest = " HTTP/1.1\r\nHost: h\r\n\r\n";
  EXPECT_THAT(Ask("GET /more" + rest), EndsWith("\r\n\r\nfour"));
  EXPECT_THAT(Ask("GET /less" + rest), EndsWith("\r\n\r\nfour"));
}

TEST_F(ServerTest, HeaderValuesCannotSmuggleHeaders) {
  Serve([&](HttpExchange& exchange) -> Task<void> {
    ResponseHead head(200);
    head.Add("x-echo", "good\r\nx-evil: 1");
    co_await exchange.Respond(head, "");
  });
  const std::string answer = Ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("x-echo: good\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("x-evil")));
}

}  // namespace
}  // namespace headrace::net
