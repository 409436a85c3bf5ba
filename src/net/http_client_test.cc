#include "net/http_client.h"

#include <gmock/gmock.h>

#include <atomic>
#include <optional>
#include <thread>

#include "net/http_server.h"
#include "net/test_peers.h"
#include "net/waker.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

using ::testing::HasSubstr;

constexpr Seconds kLong = 30;

// What one call came to.
struct Outcome {
  CallError error = CallError::kNone;
  int status = 0;
  std::string body;
  bool reused = false;
  bool retried = false;
  std::string header;  // The response's x-test.
};

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() { MakeClient({}); }
  ~ClientTest() override {
    threads_[0].Run([&] { client_.reset(); });
  }

  void MakeClient(HttpClientOptions options) {
    threads_[0].Run([&] { client_ = std::make_unique<HttpClient>(threads_[0], options); });
  }

  Task<Outcome> CallTask(system::SocketAddress endpoint, std::string method, std::string body,
                         Seconds head_limit, Seconds read_limit) {
    HttpCall call(*client_);
    const RequestHead head(method, "/path", "host");
    const std::string_view pieces[] = {std::string_view(body).substr(0, body.size() / 2),
                                       std::string_view(body).substr(body.size() / 2)};
    Outcome outcome;
    outcome.error =
        co_await call.Start(endpoint, head, pieces, system::MonotonicNow() + head_limit);
    outcome.reused = call.reused();
    outcome.retried = call.retried();
    if (outcome.error != CallError::kNone) co_return outcome;
    outcome.status = call.status();
    outcome.header = call.Header("X-Test");
    for (;;) {
      const HttpCall::Piece piece = co_await call.ReadSome(system::MonotonicNow() + read_limit);
      outcome.error = piece.error;
      outcome.body += piece.data;
      if (piece.last || piece.error != CallError::kNone) co_return outcome;
      EXPECT_FALSE(piece.data.empty());
    }
  }
  Outcome Call(const system::SocketAddress& endpoint, const std::string& body = "",
               Seconds head_limit = kLong, Seconds read_limit = kLong,
               const std::string& method = "POST") {
    return RunTask<Outcome>(threads_[0], [&]() -> Task<Outcome> {
      return CallTask(endpoint, method, body, head_limit, read_limit);
    });
  }
  std::future<Outcome> CallAside(const system::SocketAddress& endpoint,
                                 const std::string& body = "", Seconds head_limit = kLong,
                                 Seconds read_limit = kLong, const std::string& method = "POST") {
    return std::async(std::launch::async,
                      [=, this] { return Call(endpoint, body, head_limit, read_limit, method); });
  }
  std::size_t IdleConnections() {
    std::size_t count = 0;
    threads_[0].Run([&] { count = client_->idle_connections(); });
    return count;
  }
  // The end of a connection reaches the client's thread in its own time.
  void AwaitIdleConnections(std::size_t count) {
    const Seconds limit = system::MonotonicNow() + kLong;
    while (IdleConnections() != count && system::MonotonicNow() < limit) std::this_thread::yield();
    ASSERT_EQ(IdleConnections(), count);
  }

  IoThreads threads_{2};
  std::unique_ptr<HttpClient> client_;
};

std::string ReadRequest(RawPeer& peer) {
  std::string head = peer.ReadUntil("\r\n\r\n");
  const std::size_t at = head.find("content-length: ");
  if (at == head.npos) return head;
  return head + peer.ReadCount(static_cast<std::size_t>(std::atoi(head.c_str() + at + 16)));
}

TEST_F(ClientTest, SendsARequestInPiecesAndReadsTheResponse) {
  RawListener listener;
  auto outcome = CallAside(listener.address(), "two halves");
  RawPeer peer = listener.Accept();
  const std::string request = ReadRequest(peer);
  EXPECT_EQ(request, "POST /path HTTP/1.1\r\nhost: host\r\ncontent-length: 10\r\n\r\ntwo halves");
  peer.Send("HTTP/1.1 201 Created\r\nx-test: yes\r\nContent-Length: 6\r\n\r\nanswer");
  const Outcome got = outcome.get();
  EXPECT_EQ(got.error, CallError::kNone);
  EXPECT_EQ(got.status, 201);
  EXPECT_EQ(got.header, "yes");
  EXPECT_EQ(got.body, "answer");
  EXPECT_FALSE(got.reused);
}

TEST_F(ClientTest, ReusesConnections) {
  auto server = HttpServer::Listen(threads_, AnyLoopbackPort(), {},
                                   [&](HttpExchange& exchange) -> Task<void> {
                                     const ResponseHead head(200);
                                     const std::string body = exchange.body();
                                     co_await exchange.Respond(head, body);
                                   });
  ASSERT_TRUE(server);
  for (int i = 0; i < 5; ++i) {
    const Outcome got = Call((*server)->address(), "body " + std::to_string(i));
    EXPECT_EQ(got.body, "body " + std::to_string(i));
    EXPECT_EQ(got.reused, i > 0);
    EXPECT_EQ(IdleConnections(), 1u);
  }
  EXPECT_EQ((*server)->connections(), 1);
  threads_[0].Run([&] { client_->CloseIdle((*server)->address()); });
  EXPECT_EQ(IdleConnections(), 0u);
}

TEST_F(ClientTest, UnderstandsResponsesThatComeByteByByte) {
  RawListener listener;
  const std::string answers[] = {
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;ext=1\r\nhello\r\n1\r\n \r\n0005\r\nworld\r\n0\r\nTrailer: t\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
      "HTTP/1.1 200 OK\r\n\r\nhello world",
      "HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
  };
  for (const std::string& answer : answers) {
    auto outcome = CallAside(listener.address(), "x");
    RawPeer peer = listener.Accept();
    ReadRequest(peer);
    for (const char c : answer) peer.Send({&c, 1});
    peer.Close();
    const Outcome got = outcome.get();
    EXPECT_EQ(got.error, CallError::kNone) << answer;
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, "hello world") << answer;
    AwaitIdleConnections(0);
  }
}

TEST_F(ClientTest, KnowsResponsesWithoutABody) {
  RawListener listener;
  const auto ask = [&](const std::string& method, std::string_view answer) {
    auto outcome = CallAside(listener.address(), "", kLong, kLong, method);
    RawPeer peer = listener.Accept();
    const std::string request = ReadRequest(peer);
    EXPECT_EQ(request.find("content-length") == request.npos, method != "POST");
    peer.Send(answer);
    const Outcome got = outcome.get();
    EXPECT_EQ(got.error, CallError::kNone);
    EXPECT_EQ(got.body, "");
    threads_[0].Run([&] { client_->CloseIdle(); });
  };
  ask("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
  ask("POST", "HTTP/1.1 204 No Content\r\n\r\n");
  ask("GET", "HTTP/1.1 304 Not Modified\r\n\r\n");
  ask("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

TEST_F(ClientTest, BytesBeyondTheResponseEndTheConnection) {
  RawListener listener;
  auto outcome = CallAside(listener.address(), "x");
  RawPeer peer = listener.Accept();
  ReadRequest(peer);
  peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");
  EXPECT_EQ(outcome.get().body, "ok");
  EXPECT_EQ(IdleConnections(), 0u);
}

// The last read could not know that it took all there was.
TEST_F(ClientTest, AResponseAsLongAsTheReadBufferLeavesTheConnectionForTheNextCall) {
  HttpClientOptions options;
  options.max_head_bytes = options.read_buffer_bytes = 1024;
  MakeClient(options);
  std::string response = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\nx-test: ";
  response += std::string(1024 - 900 - 4 - response.size(), 'p') + "\r\n\r\n";
  response += std::string(900, 'b');
  ASSERT_EQ(response.size(), 1024u);
  RawListener listener;
  std::optional<RawPeer> peer;
  for (int i = 0; i < 3; ++i) {
    auto outcome = CallAside(listener.address());
    if (!peer) peer.emplace(listener.Accept());
    ReadRequest(*peer);
    ASSERT_TRUE(peer->Send(response));
    const Outcome got = outcome.get();
    EXPECT_EQ(got.error, CallError::kNone);
    EXPECT_EQ(got.body.size(), 900u);
    EXPECT_EQ(got.reused, i > 0);
    EXPECT_FALSE(got.retried);
    for (int turn = 0; turn < 5; ++turn) threads_[0].Run([] {});
    AwaitIdleConnections(1);
  }
}

TEST_F(ClientTest, ConnectionThatTheEndpointClosesLeavesThePool) {
  RawListener listener;
  auto outcome = CallAside(listener.address(), "x");
  RawPeer peer = listener.Accept();
  ReadRequest(peer);
  peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(outcome.get().body, "ok");
  EXPECT_EQ(IdleConnections(), 1u);
  peer.Close();
  AwaitIdleConnections(0);
}

TEST_F(ClientTest, IdleConnectionsAreClosedInTimeAndBounded) {
  HttpClientOptions options;
  options.max_idle_per_endpoint = 2;
  MakeClient(options);
  auto server = HttpServer::Listen(
      threads_, AnyLoopbackPort(), {}, [&](HttpExchange& exchange) -> Task<void> {
        const ResponseHead head(200);
        co_await exchange.thread().SleepUntil(system::MonotonicNow() + 0.02);
        co_await exchange.Respond(head, "ok");
      });
  ASSERT_TRUE(server);
  std::vector<std::future<Outcome>> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(CallAside((*server)->address()));
  for (auto& call : calls) EXPECT_EQ(call.get().body, "ok");
  EXPECT_LE(IdleConnections(), 2u);

  options.idle_timeout = 0.05;
  MakeClient(options);
  EXPECT_EQ(Call((*server)->address()).body, "ok");
  AwaitIdleConnections(0);
}

TEST_F(ClientTest, ReusedConnectionThatDiesIsReplacedOnce) {
  RawListener listener;
  auto first = CallAside(listener.address(), "x");
  RawPeer peer = listener.Accept();
  ReadRequest(peer);
  peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(first.get().body, "ok");

  // The endpoint takes the second request and dies without a word; a fresh connection works.
  auto second = CallAside(listener.address(), "again");
  EXPECT_THAT(ReadRequest(peer), HasSubstr("again"));
  peer.Close();
  RawPeer fresh = listener.Accept();
  EXPECT_THAT(ReadRequest(fresh), HasSubstr("again"));
  fresh.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const Outcome got = second.get();
  EXPECT_EQ(got.body, "ok");
  EXPECT_TRUE(got.retried);
  EXPECT_FALSE(got.reused);

  // When that one dies as well, the call fails.
  auto third = CallAside(listener.address(), "thrice");
  EXPECT_THAT(ReadRequest(fresh), HasSubstr("thrice"));
  fresh.Close();
  RawPeer last = listener.Accept();
  EXPECT_THAT(ReadRequest(last), HasSubstr("thrice"));
  last.Close();
  const Outcome failed = third.get();
  EXPECT_EQ(failed.error, CallError::kNoResponse);
  EXPECT_TRUE(failed.retried);
}

TEST_F(ClientTest, ReusedConnectionThatDiesWithinTheHeadIsNotReplaced) {
  RawListener listener;
  auto first = CallAside(listener.address(), "x");
  RawPeer peer = listener.Accept();
  ReadRequest(peer);
  peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  first.get();
  auto second = CallAside(listener.address(), "x");
  ReadRequest(peer);
  peer.Send("HTTP/1.1 200");
  peer.Close();
  const Outcome got = second.get();
  EXPECT_EQ(got.error, CallError::kNoResponse);
  EXPECT_FALSE(got.retried);
}

TEST_F(ClientTest, InterimResponsesWithoutEndAreNoResponse) {
  RawListener listener;
  auto outcome = CallAside(listener.address(), "x");
  RawPeer peer = listener.Accept();
  ReadRequest(peer);
  std::string hints;
  for (int i = 0; i < 1000; ++i) hints += "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
  while (peer.Send(hints)) {
  }
  EXPECT_EQ(outcome.get().error, CallError::kInvalidResponse);
}

TEST_F(ClientTest, TellsFailuresApart) {
  RawListener listener;
  const auto ask = [&](std::string_view answer, Seconds limit = kLong) {
    auto outcome = CallAside(listener.address(), "x", limit, limit);
    RawPeer peer = listener.Accept();
    ReadRequest(peer);
    peer.Send(answer);
    if (limit < kLong) return outcome.get().error;
    peer.Close();
    return outcome.get().error;
  };
  EXPECT_EQ(ask(""), CallError::kNoResponse);
  EXPECT_EQ(ask("HTTP/1.1 200 OK\r\nContent-Le"), CallError::kNoResponse);
  EXPECT_EQ(ask("SSH-2.0-OpenSSH\r\n\r\n"), CallError::kInvalidResponse);
  EXPECT_EQ(ask("HTTP/1.1 101 Switching Protocols\r\n\r\n"), CallError::kInvalidResponse);
  EXPECT_EQ(ask("HTTP/1.1 200 OK\r\nx: " + std::string(100'000, 'x')), CallError::kInvalidResponse);
  EXPECT_EQ(ask("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), CallError::kBroken);
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(ask(chunked + "5\r\nhello\r\n"), CallError::kBroken);
  EXPECT_EQ(ask(chunked + "5\r\nhello\r\n0\r\n"), CallError::kBroken);
  EXPECT_EQ(ask(chunked + "nonsense"), CallError::kBroken);
  EXPECT_EQ(ask("", 0.05), CallError::kHeadTimeout);
  EXPECT_EQ(ask("HTTP/1.1 200 OK\r\n", 0.05), CallError::kHeadTimeout);
  EXPECT_EQ(ask(chunked + "5\r\nhello\r\n", 0.05), CallError::kBodyTimeout);
  const system::SocketAddress address = listener.address();
  listener.Close();
  EXPECT_EQ(Call(address).error, CallError::kConnectFailed);
}

TEST_F(ClientTest, GivesUpConnectingInTime) {
  // A listener that accepts nothing: once its queue is full, newcomers get no response.
  const int full = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(full, reinterpret_cast<sockaddr*>(&any), sizeof(any)), 0);
  ASSERT_EQ(::listen(full, 0), 0);
  socklen_t size = sizeof(any);
  ::getsockname(full, reinterpret_cast<sockaddr*>(&any), &size);
  HttpClientOptions options;
  options.connect_timeout = 0.05;
  MakeClient(options);
  std::vector<std::future<Outcome>> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(CallAside(system::SocketAddress(any), "", 0.3));
  bool refused = false;
  for (auto& call : calls) refused = call.get().error == CallError::kConnectTimeout || refused;
  EXPECT_TRUE(refused);
  ::close(full);
}

TEST_F(ClientTest, ReadsAResponseThatComesBeforeTheEndOfTheRequest) {
  RawListener listener;
  auto outcome = CallAside(listener.address(), std::string(20'000'000, 'x'));
  RawPeer peer = listener.Accept();
  peer.ReadUntil("\r\n\r\n");
  peer.Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
  const Outcome got = outcome.get();
  EXPECT_EQ(got.status, 413);
  EXPECT_EQ(got.body, "big");
  EXPECT_EQ(IdleConnections(), 0u);
}

TEST_F(ClientTest, CarriesBigBodiesBothWays) {
  auto server = HttpServer::Listen(threads_, AnyLoopbackPort(), {},
                                   [&](HttpExchange& exchange) -> Task<void> {
                                     const std::string body = std::move(exchange.body());
                                     const ResponseHead head(200);
                                     if (exchange.Header("x").empty()) exchange.Start(head);
                                     co_await exchange.WriteLast(body);
                                   });
  ASSERT_TRUE(server);
  std::string body(20'000'000, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 31 >> 3);
  const Outcome got = Call((*server)->address(), body);
  EXPECT_EQ(got.error, CallError::kNone);
  EXPECT_TRUE(got.body == body);
}

// --- Closing

TEST_F(ClientTest, CloseEndsTheCallInEveryPhaseAndTheEndpointSeesIt) {
  RawListener listener;
  for (const bool in_body : {false, true}) {
    std::promise<HttpCall*> started;
    auto outcome = std::async(std::launch::async, [&] {
      return RunTask<CallError>(threads_[0], [&]() -> Task<CallError> {
        HttpCall call(*client_);
        const RequestHead head("POST", "/", "h");
        const std::string_view body[] = {"x"};
        started.set_value(&call);
        const CallError error =
            co_await call.Start(listener.address(), head, body, system::MonotonicNow() + kLong);
        if (error != CallError::kNone) co_return error;
        HttpCall::Piece piece = co_await call.ReadSome(system::MonotonicNow() + kLong);
        EXPECT_EQ(piece.data, "first");
        piece = co_await call.ReadSome(system::MonotonicNow() + kLong);
        EXPECT_FALSE(piece.last);
        const HttpCall::Piece again = co_await call.ReadSome(system::MonotonicNow() + kLong);
        EXPECT_EQ(again.error, piece.error);
        co_return piece.error;
      });
    });
    HttpCall* call = started.get_future().get();
    RawPeer peer = listener.Accept();
    ReadRequest(peer);
    if (in_body) peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nfirst");
    threads_[0].Spawn([&, call]() -> Task<void> {
      if (in_body) {
        while (call->first_byte_at() == 0) {
          co_await threads_[0].SleepUntil(system::MonotonicNow() + kMillisecond);
        }
      }
      call->Close();
      call->Close();
    });
    EXPECT_EQ(outcome.get(), CallError::kClosed);
    EXPECT_EQ(peer.ReadAll(), "");
  }
}

TEST_F(ClientTest, ACallThatIsDroppedClosesItsConnection) {
  RawListener listener;
  auto outcome = std::async(std::launch::async, [&] {
    return RunTask<CallError>(threads_[0], [&]() -> Task<CallError> {
      HttpCall call(*client_);
      const RequestHead head("GET", "/", "h");
      const std::span<const std::string_view> nothing;
      co_return co_await call.Start(listener.address(), head, nothing,
                                    system::MonotonicNow() + kLong);
    });
  });
  RawPeer peer = listener.Accept();
  ReadRequest(peer);
  peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nfirst");
  EXPECT_EQ(outcome.get(), CallError::kNone);
  EXPECT_EQ(peer.ReadAll(), "");
  EXPECT_EQ(IdleConnections(), 0u);
}

TEST_F(ClientTest, CallsAtOnceDoNotDisturbEachOther) {
  auto server = HttpServer::Listen(
      threads_, AnyLoopbackPort(), {}, [&](HttpExchange& exchange) -> Task<void> {
        const std::string body = std::move(exchange.body());
        const ResponseHead head(200);
        exchange.Start(head);
        for (const char c : body) {
          co_await exchange.Write(std::string_view(&c, 1));
          const Seconds soon = system::MonotonicNow() + 0.1 * kMillisecond;
          co_await exchange.thread().SleepUntil(soon);
        }
        co_await exchange.Finish();
      });
  ASSERT_TRUE(server);
  std::atomic<int> right = 0;
  std::promise<void> all;
  std::atomic<int> left = 200;
  for (int i = 0; i < 200; ++i) {
    threads_[0].Spawn([&, i]() -> Task<void> {
      const std::string body = std::to_string(i * 1'000'003);
      Outcome got = co_await CallTask((*server)->address(), "POST", body, kLong, kLong);
      if (got.body == body) ++right;
      if (--left == 0) all.set_value();
    });
  }
  all.get_future().wait();
  EXPECT_EQ(right, 200);
}

}  // namespace
}  // namespace headrace::net
