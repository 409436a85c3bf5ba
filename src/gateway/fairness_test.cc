// Clients of one thread that want all of it, and one that wants little.
#include <gmock/gmock.h>

#include <atomic>

#include "gateway/test_gateway.h"
#include "gateway/test_recording_engine.h"

namespace headrace::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// Streams as fast as the gateway reads, for as long as it does.
class FloodingEngine {
 public:
  FloodingEngine() {
    server_ =
        *net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), {},
                                 [this](net::HttpExchange& exchange) { return Serve(exchange); });
  }
  std::string address() const { return server_->address().ToString(); }

 private:
  net::Task<void> Serve(net::HttpExchange& exchange) {
    net::ResponseHead head(200);
    head.Add("content-type", "text/event-stream");
    exchange.Start(head);
    while (co_await exchange.Write(events_)) {
    }
  }

  const std::string events_ = [] {
    std::string text;
    while (text.size() < std::size_t{256} << 10) text += "data: {\"choices\":[]}\n\n";
    return text;
  }();
  net::IoThreads threads_{1};
  std::unique_ptr<net::HttpServer> server_;
};

class FairnessTest : public ::testing::Test {
 protected:
  void Start() {
    config::Config& config = gateway_.config;
    config.threads = 1;
    config.models[0].policy = "least-request";
    gateway_.AddEndpoint("a10", engine_.address());
    config.models.push_back(config.models[0]);
    config.models[1].name = "flooding";
    config.models[1].deployments[0].endpoints = {flood_.address()};
    gateway_.Start();
  }

  RecordingEngine engine_;
  FloodingEngine flood_;
  TestGateway gateway_;
};

TEST_F(FairnessTest, SmallRequestsAreServedWhileStreamsFlood) {
  Start();
  // Four streams that never end and always have bytes.
  std::vector<net::RawPeer> peers;
  std::vector<std::thread> readers;
  std::atomic<int> ended = 0;
  for (int i = 0; i < 4; ++i) {
    net::RawPeer& peer = peers.emplace_back(gateway_.address());
    peer.Send(
        PostText("/v1/chat/completions", R"({"model":"flooding","messages":[],"stream":true})"));
    EXPECT_THAT(peer.ReadUntil("data: "), HasSubstr("200 OK"));
  }
  for (net::RawPeer& peer : peers) {
    readers.emplace_back([&] {
      while (!peer.ReadSome().empty()) {
      }
      ++ended;
    });
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(gateway_.Chat(ChatBody(1, false)).status, 200);
  EXPECT_EQ(ended, 0);
  for (net::RawPeer& peer : peers) peer.Shutdown();
  for (std::thread& reader : readers) reader.join();
  peers.clear();
  EXPECT_TRUE(Eventually([&] { return gateway_.Idle(); }));
}

// Bodies that are read aside, sent in turns, and, in chunks, moved as they grow.
TEST_F(FairnessTest, LongBodiesArriveWhole) {
  Start();
  const std::string body =
      ChatBody(1, false, R"(,"x":")" + std::string(std::size_t{9} << 20, 'x') + "\"");
  std::string chunks =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += 0xffff) {
    const std::string chunk = body.substr(at, 0xffff);
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", chunk.size());
    chunks.append(size).append(chunk).append("\r\n");
  }
  chunks += "0\r\n\r\n";
  for (const std::string& request : {PostText("/v1/chat/completions", body), chunks}) {
    net::RawPeer client(gateway_.address());
    client.Send(request);
    EXPECT_EQ(ReadResponse(client).status, 200);
  }
  const auto posts = engine_.Posts();
  ASSERT_THAT(posts, SizeIs(2));
  EXPECT_TRUE(posts[0].body == body);
  EXPECT_TRUE(posts[1].body == body);
}

TEST_F(FairnessTest, LongBodiesAreJudgedAsOthersAre) {
  Start();
  const std::string space(std::size_t{5} << 20, ' ');
  EXPECT_THAT(gateway_.Chat(space + "{").body, HasSubstr("not valid JSON"));
  EXPECT_THAT(gateway_.Chat(space + "{}").body, HasSubstr("must name a model"));
  EXPECT_EQ(gateway_.Chat(space + R"({"model":"none"})").status, 404);
  // A client that has gone meanwhile harms nobody.
  for (int i = 0; i < 3; ++i) {
    net::RawPeer client(gateway_.address());
    client.Send(PostText("/v1/chat/completions", space + ChatBody(1, false)));
    client.Reset();
  }
  EXPECT_EQ(gateway_.Chat(ChatBody(1, false)).status, 200);
  EXPECT_TRUE(Eventually([&] { return gateway_.Idle(); }));
}

}  // namespace
}  // namespace headrace::gateway
