#include "net/http_server.h"

#include <gmock/gmock.h>

#include <atomic>

#include "net/test_one_shot.h"
#include "net/test_peers.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::net {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr Seconds kLong = 30;

// A server on a free port of loopback.
class ServerTest : public ::testing::Test {
 protected:
  void Serve(HttpHandler handler, const HttpServerOptions& options = {}) {
    auto server = HttpServer::Listen(threads_, AnyLoopbackPort(), options, std::move(handler));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  RawPeer Connect() { return RawPeer(server_->address()); }
  // Sends all, reads the response to a request with `Connection: close`.
  std::string Ask(std::string_view request) {
    RawPeer client = Connect();
    client.Send(request);
    return client.ReadAll();
  }

  IoThreads threads_{2};
  std::unique_ptr<HttpServer> server_;
};

Task<void> Echo(HttpExchange& exchange) {
  ResponseHead head(200);
  head.Add("x-target", exchange.target());
  const std::string body = std::move(exchange.body());
  co_await exchange.Respond(head, body);
}

// Something that happens on a server's thread and that a test waits for.
class Event {
 public:
  void Happen() {
    const system::MutexLock lock(mutex_);
    ++times_;
    changed_.NotifyAll();
  }
  bool Await(int times = 1) {
    const Seconds end = system::MonotonicNow() + kLong;
    const system::MutexLock lock(mutex_);
    while (times_ < times && system::MonotonicNow() < end) {
      changed_.WaitFor(mutex_, end - system::MonotonicNow());
    }
    return times_ >= times;
  }
  int times() {
    const system::MutexLock lock(mutex_);
    return times_;
  }

 private:
  system::Mutex mutex_;
  system::ConditionVariable changed_;
  int times_ HEADRACE_GUARDED_BY(mutex_) = 0;
};

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

TEST_F(ServerTest, TurnsAwayMoreConnectionsThanItMayHave) {
  HttpServerOptions options;
  options.max_connections = 2;
  options.grace = kNever;
  Serve(Echo, options);
  const std::string request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
  RawPeer first = Connect();
  RawPeer second = Connect();
  first.Send(request);
  second.Send(request);
  EXPECT_THAT(first.ReadUntil("hi"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(second.ReadUntil("hi"), StartsWith("HTTP/1.1 200 "));
  RawPeer third = Connect();
  EXPECT_THAT(third.ReadAll(), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  first.Close();
  // Its place is free as soon as the server has noticed.
  std::string answer;
  do {
    RawPeer fourth = Connect();
    fourth.Send(request);
    answer = fourth.ReadUntil("hi");
  } while (answer.starts_with("HTTP/1.1 503 ") || answer.empty());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
}

// Whatever they do not finish: nothing at all, half a head, a body that nobody reads, a request
// that was refused, or the request after one that was served.
TEST_F(ServerTest, WhoAsksForNothingKeepsNobodyOut) {
  HttpServerOptions options;
  options.max_connections = 4;
  options.grace = 0;
  options.idle_timeout = options.head_timeout = kNever;
  options.reads_body = [](const HttpExchange&) { return false; };
  Serve(Echo, options);
  const std::string request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  std::vector<RawPeer> silent;
  // Those that have only just connected cannot give way yet.
  const auto ask = [&] {
    std::string answer;
    for (int i = 0; i < 1000 && !answer.starts_with("HTTP/1.1 200 "); ++i) {
      RawPeer client = Connect();
      client.Send(request);
      answer = client.ReadUntil("\r\n\r\n");
    }
    return answer;
  };
  for (const std::string& begin : {std::string(), request.substr(0, 20),
                                   "POST" + request.substr(3, 23) + "Content-Length: 9\r\n\r\n",
                                   std::string("no request\r\n\r\n"), request}) {
    for (int i = 0; i < 8; ++i) {
      silent.push_back(Connect());
      silent.back().Send(begin);
    }
    EXPECT_THAT(ask(), StartsWith("HTTP/1.1 200 ")) << begin;
  }
  // The first ones have given way.
  EXPECT_EQ(silent.front().ReadAll(), "");
}

TEST_F(ServerTest, WhoIsServedGivesWayToNobody) {
  Event begun;
  Event enough;
  HttpServerOptions options;
  options.max_connections = 2;
  options.grace = 0;
  Serve(
      [&](HttpExchange& exchange) -> Task<void> {
        const ResponseHead head(200);
        exchange.Start(head);
        co_await exchange.Write("begun");
        begun.Happen();
        const std::function<void()> wait = [&] { enough.Await(); };
        co_await exchange.thread().RunAside(wait);
        co_await exchange.WriteLast("ended");
      },
      options);
  const std::string request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  RawPeer first = Connect();
  RawPeer second = Connect();
  first.Send(request);
  second.Send(request);
  ASSERT_TRUE(begun.Await(2));
  EXPECT_THAT(Connect().ReadAll(), StartsWith("HTTP/1.1 503 "));
  enough.Happen();
  EXPECT_THAT(first.ReadAll(), HasSubstr("ended"));
  EXPECT_THAT(second.ReadAll(), HasSubstr("ended"));
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

// --- Clients that leave

TEST_F(ServerTest, NoticesAClientThatLeavesWhileItsRequestWaits) {
  Event waiting;
  Event gone;
  Event ended;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    OneShot<bool> turn(exchange.thread());
    exchange.OnClientGone([&gone, setter = turn.setter()] {
      gone.Happen();
      setter.SetHere(false);
    });
    waiting.Happen();
    const std::optional<bool> go = co_await turn.Wait(system::MonotonicNow() + kLong);
    EXPECT_EQ(go, false);
    EXPECT_TRUE(exchange.client_gone());
    const ResponseHead head(200);
    EXPECT_FALSE(co_await exchange.Respond(head, "too late"));
    ended.Happen();
  });
  const std::string request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
  RawPeer closes = Connect();
  closes.Send(request);
  ASSERT_TRUE(waiting.Await(1));
  closes.Close();
  ASSERT_TRUE(ended.Await(1));

  RawPeer resets = Connect();
  resets.Send(request);
  ASSERT_TRUE(waiting.Await(2));
  resets.Reset();
  ASSERT_TRUE(ended.Await(2));

  // Leaves in the same breath as it asks.
  RawPeer hasty = Connect();
  hasty.Send(request);
  hasty.Close();
  ASSERT_TRUE(ended.Await(3));
  EXPECT_EQ(gone.times(), 3);
}

TEST_F(ServerTest, NoticesAClientThatLeavesAfterItHasPipelinedMore) {
  Event waiting;
  Event ended;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    OneShot<bool> turn(exchange.thread());
    exchange.OnClientGone([setter = turn.setter()] { setter.SetHere(false); });
    waiting.Happen();
    EXPECT_EQ(co_await turn.Wait(system::MonotonicNow() + kLong), false);
    ended.Happen();
  });
  RawPeer client = Connect();
  const std::string request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  client.Send(request + request);
  ASSERT_TRUE(waiting.Await(1));
  client.Send(request);
  client.Close();
  ASSERT_TRUE(ended.Await(1));
  server_->Stop(kLong);
  EXPECT_EQ(waiting.times(), 1);
}

TEST_F(ServerTest, NoticesAClientThatLeavesInTheMiddleOfTheResponse) {
  Event gone;
  Event ended;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    exchange.OnClientGone([&] { gone.Happen(); });
    const ResponseHead head(200);
    exchange.Start(head);
    while (co_await exchange.Write("token ")) {
      co_await exchange.thread().SleepUntil(system::MonotonicNow() + kMillisecond);
    }
    ended.Happen();
  });
  RawPeer client = Connect();
  client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("token "), HasSubstr("200 OK"));
  client.Close();
  ASSERT_TRUE(ended.Await());
  EXPECT_EQ(gone.times(), 1);
}

TEST_F(ServerTest, CallbackSetAfterTheClientHasGoneIsCalledAtOnce) {
  Event gone;
  Event late;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    OneShot<bool> turn(exchange.thread());
    exchange.OnClientGone([setter = turn.setter()] { setter.SetHere(false); });
    co_await turn.Wait(system::MonotonicNow() + kLong);
    exchange.OnClientGone([&] { late.Happen(); });
    gone.Happen();
  });
  RawPeer client = Connect();
  client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  client.Close();
  ASSERT_TRUE(gone.Await());
  EXPECT_EQ(late.times(), 1);
}

TEST_F(ServerTest, SlowReaderSlowsTheWriterAndLosesNothing) {
  const std::string piece(50'000, 'p');
  std::atomic<int> written = 0;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    const ResponseHead head(200);
    exchange.Start(head, piece.size() * 1000);
    for (int i = 0; i < 1000; ++i) {
      if (!co_await exchange.Write(piece)) co_return;
      ++written;
    }
    co_await exchange.Finish();
  });
  RawPeer client(server_->address(), 16 * 1024);
  client.Send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  client.ReadUntil("\r\n\r\n");
  // 50 MB don't fit into the kernel's buffers: the handler can't have got through.
  EXPECT_LT(written, 1000);
  const std::string body = client.ReadAll();
  EXPECT_EQ(body.size(), piece.size() * 1000);
  EXPECT_EQ(body.find_first_not_of('p'), body.npos);
  server_->Stop(kLong);
}

TEST_F(ServerTest, ReaderThatStopsIsGoneAfterTheTimeLimit) {
  HttpServerOptions options;
  options.write_timeout = 0.1;
  Event gone;
  Event ended;
  Serve(
      [&](HttpExchange& exchange) -> Task<void> {
        exchange.OnClientGone([&] { gone.Happen(); });
        const std::string piece(1'000'000, 'p');
        const ResponseHead head(200);
        exchange.Start(head);
        while (co_await exchange.Write(piece)) {
        }
        ended.Happen();
      },
      options);
  RawPeer client = Connect();
  client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(ended.Await());
  EXPECT_EQ(gone.times(), 1);
}

// --- The end

TEST_F(ServerTest, StopLetsRequestsInFlightFinish) {
  Event begun;
  std::optional<OneShot<int>::Setter> go;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    OneShot<int> shot(exchange.thread());
    go.emplace(shot.setter());
    begun.Happen();
    co_await shot.Wait(system::MonotonicNow() + kLong);
    const ResponseHead head(200);
    co_await exchange.Respond(head, "finished");
  });
  RawPeer idle = Connect();
  RawPeer busy = Connect();
  busy.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(begun.Await());
  const system::SocketAddress address = server_->address();
  std::thread stopper([&] { EXPECT_TRUE(server_->Stop(kLong)); });
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_FALSE(RawPeer(address).connected());
  go->Set(1);
  const std::string answer = busy.ReadAll();
  EXPECT_THAT(answer, HasSubstr("connection: close\r\n"));
  EXPECT_THAT(answer, EndsWith("finished"));
  stopper.join();
  EXPECT_EQ(server_->connections(), 0);
}

TEST_F(ServerTest, StopBreaksOffWhatDoesNotFinish) {
  Event begun;
  Event gone;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    OneShot<int> shot(exchange.thread());
    exchange.OnClientGone([&gone, setter = shot.setter()] {
      gone.Happen();
      setter.SetHere(1);
    });
    begun.Happen();
    co_await shot.Wait(kNever);
  });
  RawPeer client = Connect();
  client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(begun.Await());
  EXPECT_TRUE(server_->Stop(0.01));
  EXPECT_EQ(gone.times(), 1);
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(ServerTest, SpreadsConnectionsOverTheThreads) {
  system::Mutex mutex;
  std::vector<int> counts(2);
  Serve([&](HttpExchange& exchange) -> Task<void> {
    {
      const system::MutexLock lock(mutex);
      ++counts[static_cast<std::size_t>(exchange.thread().index())];
    }
    co_await Echo(exchange);
  });
  std::vector<RawPeer> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(Connect());
    clients.back().Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    clients.back().ReadUntil("hi");
  }
  EXPECT_EQ(counts, (std::vector<int>{5, 5}));
}

TEST_F(ServerTest, SaysWhyItCannotListen) {
  Serve(Echo);
  const auto second = HttpServer::Listen(threads_, server_->address(), {}, Echo);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr(server_->address().ToString()));
  EXPECT_THAT(second.error().message, HasSubstr("give another port"));
}

}  // namespace
}  // namespace headrace::net
