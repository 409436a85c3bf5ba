// HTTP over a stream that is not TCP's own: server, client and all that can go wrong before the
// first byte.
#include "net/byte_stream.h"

#include <gmock/gmock.h>

#include <future>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/test_peers.h"
#include "net/test_record_stream.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

constexpr Seconds kLong = 30;

struct Response {
  CallError error = CallError::kNone;
  std::string body;
  bool reused = false;
};

class ByteStreamTest : public ::testing::Test {
 protected:
  ByteStreamTest() {
    server_options_.stream_factory = RecordStreams();
    client_options_.stream_factory = RecordStreams();
  }
  ~ByteStreamTest() override {
    threads_[0].Run([this] { client_.reset(); });
  }

  void Serve(HttpHandler handler) {
    auto server =
        HttpServer::Listen(threads_, AnyLoopbackPort(), server_options_, std::move(handler));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  Response Call(const system::SocketAddress& address, const std::string& body = "") {
    threads_[0].Run([this] {
      if (!client_) client_ = std::make_unique<HttpClient>(threads_[0], client_options_);
    });
    return RunTask<Response>(threads_[0],
                             [&]() -> Task<Response> { return CallTask(address, body); });
  }
  Task<Response> CallTask(system::SocketAddress address, std::string body) {
    HttpCall call(*client_);
    const RequestHead head("POST", "/", "host");
    const std::string_view pieces[] = {body};
    const Seconds deadline = system::MonotonicNow() + kLong;
    Response response;
    response.error = co_await call.Start(address, head, pieces, deadline);
    response.reused = call.reused();
    while (response.error == CallError::kNone) {
      const HttpCall::Piece piece = co_await call.ReadSome(deadline);
      response.error = piece.error;
      response.body += piece.data;
      if (piece.last) break;
    }
    co_return response;
  }

  HttpServerOptions server_options_;
  HttpClientOptions client_options_;
  IoThreads threads_{2};
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<HttpClient> client_;
};

std::string Letters(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * i % 23);
  return text;
}

Task<void> Echo(HttpExchange& exchange) {
  const ResponseHead head(200);
  const std::string body = std::move(exchange.body());
  co_await exchange.Respond(head, body);
}

TEST_F(ByteStreamTest, CarriesWholeExchangesOverOneConnection) {
  Serve(Echo);
  const std::string large = Letters(100'000);
  const Response first = Call(server_->address(), large);
  EXPECT_EQ(first.error, CallError::kNone);
  EXPECT_EQ(first.body, large);
  EXPECT_FALSE(first.reused);
  const Response second = Call(server_->address(), "again");
  EXPECT_EQ(second.body, "again");
  EXPECT_TRUE(second.reused);
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(ByteStreamTest, CarriesStreamedResponses) {
  const std::string events[] = {Letters(10), Letters(1000), Letters(3)};
  Serve([&events](HttpExchange& exchange) -> Task<void> {
    const ResponseHead head(200);
    exchange.Start(head);
    co_await exchange.Flush();
    for (const std::string& event : events) co_await exchange.Write(event);
    co_await exchange.Finish();
  });
  const Response response = Call(server_->address());
  EXPECT_EQ(response.error, CallError::kNone);
  EXPECT_EQ(response.body, events[0] + events[1] + events[2]);
}

TEST_F(ByteStreamTest, AClientThatLeavesIsNoticedWhileItsRequestIsServed) {
  std::promise<void> serving;
  std::promise<void> gone;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    exchange.OnClientGone([&gone] { gone.set_value(); });
    serving.set_value();
    while (!exchange.client_gone()) {
      co_await exchange.thread().SleepUntil(system::MonotonicNow() + kMillisecond);
    }
  });
  threads_[0].Run([this] { client_ = std::make_unique<HttpClient>(threads_[0], client_options_); });
  std::unique_ptr<HttpCall> call;
  threads_[0].Run([&] { call = std::make_unique<HttpCall>(*client_); });
  auto result = std::async(std::launch::async, [&] {
    return RunTask<CallError>(threads_[0], [&]() -> Task<CallError> {
      const RequestHead head("GET", "/", "host");
      co_return co_await call->Start(server_->address(), head, {}, system::MonotonicNow() + kLong);
    });
  });
  serving.get_future().wait();
  threads_[0].Run([&] { call->Close(); });
  EXPECT_EQ(result.get(), CallError::kClosed);
  gone.get_future().wait();
  threads_[0].Run([&] { call.reset(); });
}

TEST_F(ByteStreamTest, TheServerClosesAConnectionWhoseHandshakeFails) {
  Serve(Echo);
  RawPeer plain(server_->address());
  plain.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(plain.ReadAll(), "");
}

TEST_F(ByteStreamTest, TheServerClosesAConnectionWhoseHandshakeTakesTooLong) {
  server_options_.head_timeout = 0.05;
  Serve(Echo);
  RawPeer silent(server_->address());
  EXPECT_EQ(silent.ReadAll(), "");
}

TEST_F(ByteStreamTest, AHandshakeDoesNotHoldUpTheServersEnd) {
  Serve(Echo);
  RawPeer silent(server_->address());
  while (server_->connections() == 0) std::this_thread::yield();
  EXPECT_TRUE(server_->Stop(kLong));
  EXPECT_EQ(silent.ReadAll(), "");
}

// As with a connection that cannot be made: nothing was sent, so the call may go elsewhere.
TEST_F(ByteStreamTest, AFailedHandshakeCountsAsNoConnection) {
  RawListener listener;
  auto response = std::async(std::launch::async, [&] { return Call(listener.address(), "body"); });
  RawPeer peer = listener.Accept();
  EXPECT_EQ(peer.ReadCount(1), std::string(1, 'H' ^ RecordStream::kKey));
  peer.Close();
  EXPECT_EQ(response.get().error, CallError::kConnectFailed);
}

TEST_F(ByteStreamTest, TheConnectTimeoutIncludesTheHandshake) {
  client_options_.connect_timeout = 0.05;
  RawListener silent;
  EXPECT_EQ(Call(silent.address(), "body").error, CallError::kConnectTimeout);
}

}  // namespace
}  // namespace headrace::net
