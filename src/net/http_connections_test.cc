// Who is let in, who leaves, and how it ends.
#include <gmock/gmock.h>

#include <atomic>

#include "net/http_server.h"
#include "net/test_one_shot.h"
#include "net/test_server.h"

namespace headrace::net {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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

TEST_F(ServerTest, WhoHadConnectedIsServedOnceTheListenerIsGone) {
  Serve(Echo);
  RawPeer client = Connect();
  std::thread stopper([&] { EXPECT_TRUE(server_->Stop(kLong)); });
  const Seconds limit = system::MonotonicNow() + kLong;
  while (Connect().connected() && system::MonotonicNow() < limit) {
  }
  client.Send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), HasSubstr("/late"));
  stopper.join();
}

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
