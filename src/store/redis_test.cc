#include "store/redis.h"

#include <gmock/gmock.h>

#include <thread>

#include "net/test_peers.h"
#include "store/test_redis.h"

namespace headrace::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Keys = std::vector<std::string>;

TEST(Redis, StoresFindsAndDeletes) {
  const TestRedis server;
  Redis redis(server.url());
  ASSERT_TRUE(redis.Set("a:1", "x"));
  ASSERT_TRUE(redis.Set("a:2", std::string(5 << 20, 'y')));
  ASSERT_TRUE(redis.Set("a:3", std::string("\0\r\n", 3), 600));
  EXPECT_THAT(*redis.Scan("a:*"), ElementsAre("a:1", "a:2", "a:3"));
  const auto values = redis.Get(Keys{"a:1", "none", "a:2", "a:3"});
  ASSERT_TRUE(values) << values.error().message;
  EXPECT_EQ(values->at(0).text, "x");
  EXPECT_FALSE(values->at(1).text);
  EXPECT_EQ(values->at(2).text->size(), 5u << 20);
  EXPECT_EQ(values->at(3).text, std::string("\0\r\n", 3));
  ASSERT_TRUE(redis.Delete("a:1"));
  EXPECT_FALSE(redis.Get(Keys{"a:1"})->at(0).text);
}

TEST(Redis, ConnectsAnewAfterAnOutage) {
  TestRedis server;
  Redis redis(server.url());
  ASSERT_TRUE(redis.Set("k", "v"));
  server.Stop();
  const auto away = redis.Get(Keys{"k"});
  ASSERT_FALSE(away);
  EXPECT_THAT(away.error().message, HasSubstr(server.url().Name()));
  EXPECT_THAT(redis.Set("k", "v").error().message, HasSubstr("Connection refused"));
  server.Start();
  EXPECT_TRUE(redis.Set("k", "v"));
}

// Redis ends connections that are idle for longer than its `timeout`.
TEST(Redis, AConnectionThatRedisHasEndedIsNoOutage) {
  const TestRedis server;
  Redis redis(server.url());
  ASSERT_TRUE(redis.Set("k", "v"));
  server.Cli("CLIENT KILL TYPE normal SKIPME yes");
  EXPECT_EQ(redis.Get(Keys{"k"})->at(0).text, "v");
}

TEST(Redis, DoesNotWaitForeverForAResponse) {
  const TestRedis server;
  Redis redis(server.url(), 0.05);
  ASSERT_TRUE(redis.Set("k", "v"));
  server.Freeze();
  EXPECT_THAT(redis.Get(Keys{"k"}).error().message, HasSubstr("no response in time"));
  server.Thaw();
}

// Something always comes, but never all of it.
TEST(Redis, DoesNotWaitForeverForTheRestOfAResponse) {
  net::RawListener listener;
  std::thread server([&] {
    net::RawPeer peer = listener.Accept();
    peer.ReadUntil("SELECT");
    peer.Send("+OK\r\n");
    peer.ReadUntil("GET");
    peer.Send("$1000000\r\n");
    while (peer.Send("x")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  Redis redis({.host = "127.0.0.1", .port = listener.address().port()}, 0.05);
  EXPECT_THAT(redis.Get(Keys{"k"}).error().message, HasSubstr("no response in time"));
  server.join();
}

TEST(Redis, AuthenticatesAndSelectsADatabase) {
  const TestRedis server(
      {"--requirepass", "secret", "--user", "reader", "on", ">word", "~*", "+@all"});
  EXPECT_THAT(Redis(server.url()).Set("k", "v").error().message,
              HasSubstr("give the URL a password"));
  RedisUrl url = server.url();
  url.password = "wrong-word";
  const std::string refused = Redis(url).Set("k", "v").error().message;
  EXPECT_THAT(refused, HasSubstr("correct the URL's user and password"));
  EXPECT_THAT(refused, Not(HasSubstr("wrong-word")));
  url.password = "secret";
  url.database = 3;
  ASSERT_TRUE(Redis(url).Set("k", "v"));
  url.user = "reader";
  url.password = "word";
  EXPECT_EQ(Redis(url).Get(Keys{"k"})->at(0).text, "v");
  url.database = 0;
  EXPECT_FALSE(Redis(url).Get(Keys{"k"})->at(0).text);
  url.database = 99;
  EXPECT_THAT(Redis(url).Set("k", "v").error().message, HasSubstr("database number"));
}

TEST(Redis, HearsOfMessages) {
  TestRedis server({"--notify-keyspace-events", "KA"});
  Redis redis(server.url());
  Redis listener(server.url());
  ASSERT_TRUE(listener.Subscribe("__keyspace@0__:a:*"));
  EXPECT_FALSE(*listener.TakeMessages());
  ASSERT_TRUE(redis.Set("b:1", "x"));
  ASSERT_TRUE(redis.Set("a:1", "x"));
  // Redis responds to the writer before or after the listener's bytes arrive.
  bool heard = false;
  for (int i = 0; i < 1000 && !heard; ++i) {
    heard = *listener.TakeMessages();
    if (!heard) ASSERT_TRUE(redis.Get(Keys{"a:1"}));
  }
  EXPECT_TRUE(heard);
  EXPECT_FALSE(*listener.TakeMessages());
  server.Stop();
  EXPECT_FALSE(listener.TakeMessages());
}

}  // namespace
}  // namespace headrace::store
