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
  EXPECT_TRUE(listener.TakeMessages()->empty());
  ASSERT_TRUE(redis.Set("b:1", "x"));
  ASSERT_TRUE(redis.Set("a:1", "x"));
  // Redis responds to the writer before or after the listener's bytes arrive.
  bool heard = false;
  for (int i = 0; i < 1000 && !heard; ++i) {
    heard = !listener.TakeMessages()->empty();
    if (!heard) ASSERT_TRUE(redis.Get(Keys{"a:1"}));
  }
  EXPECT_TRUE(heard);
  EXPECT_TRUE(listener.TakeMessages()->empty());
  server.Stop();
  EXPECT_FALSE(listener.TakeMessages());
}

TEST(Redis, PassesMessagesOn) {
  TestRedis server;
  Redis speaker(server.url());
  Redis listener(server.url());
  EXPECT_FALSE(listener.TakeMessages()) << "nothing was subscribed to";
  ASSERT_TRUE(listener.Listen("a[1]"));
  const std::vector<std::string> said = {"one", std::string("\0\r\n", 3),
                                         std::string(100'000, 'x')};
  ASSERT_TRUE(speaker.Publish("a1", said));
  ASSERT_TRUE(speaker.Publish("a[1]", said));
  std::vector<std::string> heard;
  while (heard.size() < said.size()) {
    const auto messages = listener.TakeMessages(5);
    ASSERT_TRUE(messages && !messages->empty()) << "nothing for five seconds";
    heard.insert(heard.end(), messages->begin(), messages->end());
  }
  EXPECT_EQ(heard, said);
  server.Stop();
  EXPECT_FALSE(speaker.Publish("a[1]", said));
  EXPECT_FALSE(listener.TakeMessages(1));
}

// Who listens a second time may hear a message before the answer to that.
TEST(Redis, TakesNothingButMessagesForMessages) {
  net::RawListener listener;
  std::thread server([&] {
    net::RawPeer peer = listener.Accept();
    peer.ReadUntil("SELECT");
    peer.Send("+OK\r\n");
    peer.ReadUntil("SUBSCRIBE");
    peer.Send(
        "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nearly\r\n"
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
        "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\nlate\r\n");
    peer.ReadUntil("PING");
  });
  {
    Redis redis({.host = "127.0.0.1", .port = listener.address().port()});
    ASSERT_TRUE(redis.Listen("a"));
    EXPECT_THAT(redis.TakeMessages(5).value(), ElementsAre("late"));
  }
  server.join();
}

TEST(Redis, MergesWhatIsThere) {
  const TestRedis server;
  Redis redis(server.url());
  const auto add = [&](const std::string& value) {
    return redis.SetOrMerge("k", value, "return ARGV[1] .. '+' .. ARGV[2]", 600);
  };
  ASSERT_TRUE(add("1"));
  ASSERT_TRUE(add("2"));
  ASSERT_TRUE(add("3"));
  EXPECT_EQ(redis.Get(Keys{"k"})->at(0).text, "1+2+3");
}

// Who is alone needs no scripts.
TEST(Redis, MergesNothingWhereNothingIs) {
  const TestRedis server({"--user", "writer", "on", ">word", "~*", "+set", "+select"});
  RedisUrl url = server.url();
  url.user = "writer";
  url.password = "word";
  Redis redis(url);
  EXPECT_TRUE(redis.SetOrMerge("k", "1", "return ARGV[2]", 600));
  EXPECT_THAT(redis.SetOrMerge("k", "2", "return ARGV[2]", 600).error().message,
              HasSubstr("refuses EVAL"));
}

}  // namespace
}  // namespace headrace::store
