#include "store/redis.h"

#include <gmock/gmock.h>

#include <optional>
#include <thread>

#include "net/test_certificates.h"
#include "net/test_peers.h"
#include "store/test_redis.h"
#include "system/files.h"
#include "system/temporary_folder.h"

namespace headrace::store {
namespace {

using testing::AllOf;
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

TEST(Redis, IsReachedOverASocket) {
  const system::TemporaryFolder folder;
  const std::string socket = folder.path() / "redis.sock";
  const TestRedis server({"--unixsocket", socket, "--requirepass", "secret"});
  Redis redis(*ParseRedisUrl("unix://secret@" + socket + "?db=2"));
  const auto set = redis.Set("k", "v");
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(redis.Get(Keys{"k"})->at(0).text, "v");
  EXPECT_THAT(Redis(*ParseRedisUrl("unix:///nowhere.sock")).Set("k", "v").error().message,
              HasSubstr("unix:///nowhere.sock?db=0: Redis cannot be reached (No such file"));
}

TEST(Redis, ThePasswordMayBeInAFileThatChanges) {
  const system::TemporaryFolder folder;
  const std::string file = folder.path() / "password";
  ASSERT_TRUE(system::WriteFile(file, "old\n"));
  const TestRedis server({"--requirepass", "secret"});
  Redis redis(*ParseRedisUrl(server.Url("?password_file=" + file)));
  EXPECT_THAT(redis.Set("k", "v").error().message, HasSubstr("WRONGPASS"));
  ASSERT_TRUE(system::WriteFile(file, "secret\n"));
  EXPECT_TRUE(redis.Set("k", "v"));
  EXPECT_THAT(
      Redis(*ParseRedisUrl(server.Url("?password_env=HEADRACE_NONE")))
          .Set("k", "v")
          .error()
          .message,
      HasSubstr("the password cannot be read (the environment has no password in HEADRACE_NONE)"));
}

// A redis-server that speaks TLS on a port of its own.
class RedisOverTls : public testing::Test {
 protected:
  RedisOverTls() { Start("no"); }
  // Whether clients must have a certificate: Redis's own words, yes or no.
  void Start(const std::string& clients) {
    const net::TestCertificate issued = ca_.Issue("DNS:localhost,IP:127.0.0.1");
    folder_.Write("ca.pem", ca_.certificate());
    folder_.Write("redis.pem", issued.certificate);
    folder_.Write("redis.key", issued.key);
    server_.emplace(std::vector<std::string>{
        "--tls-port", std::to_string(port_), "--tls-cert-file", Path("redis.pem"), "--tls-key-file",
        Path("redis.key"), "--tls-ca-cert-file", Path("ca.pem"), "--tls-auth-clients", clients,
        "--requirepass", "secret"});
  }
  std::string Path(const std::string& name) const { return folder_.path() / name; }
  RedisUrl Url(const std::string& host, const std::string& ca = "ca.pem") const {
    return *ParseRedisUrl("rediss://secret@" + host + ":" + std::to_string(port_) +
                          "/1?ca_file=" + Path(ca));
  }
  std::string FaultWith(const RedisUrl& url) const {
    return Redis(url).Set("k", "v").error().message;
  }

  const net::TestCa ca_;
  const system::TemporaryFolder folder_;
  const int port_ = TestRedis::FreePort();
  std::optional<TestRedis> server_;
};

TEST_F(RedisOverTls, CarriesTheSameAsWithout) {
  for (const std::string host : {"localhost", "127.0.0.1"}) {
    Redis redis(Url(host));
    const auto set = redis.Set("k", "v");
    ASSERT_TRUE(set) << set.error().message;
    const std::string large(5 << 20, 'y');
    ASSERT_TRUE(redis.Set("large", large));
    const auto values = redis.Get(Keys{"k", "none", "large"});
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_EQ(values->at(0).text, "v");
    EXPECT_FALSE(values->at(1).text);
    EXPECT_EQ(values->at(2).text, large);
    EXPECT_THAT(*redis.Scan("*"), ElementsAre("k", "large"));
    server_->Cli("-a secret --no-auth-warning CLIENT KILL TYPE normal SKIPME yes");
    const auto again = redis.Get(Keys{"k"});
    ASSERT_TRUE(again) << "a connection that Redis has ended: " << again.error().message;
    EXPECT_EQ(again->at(0).text, "v");
  }
}

TEST_F(RedisOverTls, MessagesComeToo) {
  Redis listener(Url("localhost"));
  const auto listening = listener.Listen("news");
  ASSERT_TRUE(listening) << listening.error().message;
  Redis speaker(Url("localhost"));
  ASSERT_TRUE(speaker.Publish("news", std::vector<std::string>{"one", "two"}));
  std::vector<std::string> all;
  while (all.size() < 2) {
    const auto some = listener.TakeMessages(20);
    ASSERT_TRUE(some) << some.error().message;
    all.insert(all.end(), some->begin(), some->end());
  }
  EXPECT_THAT(all, ElementsAre("one", "two"));
}

TEST_F(RedisOverTls, WhomNobodyTrustsIsRefused) {
  folder_.Write("other.pem", net::TestCa("other").certificate());
  EXPECT_THAT(FaultWith(Url("localhost", "other.pem")),
              AllOf(HasSubstr("rediss://localhost:"), HasSubstr("its certificate is not trusted"),
                    Not(HasSubstr("secret"))));
  folder_.Write("none.pem", "");
  EXPECT_THAT(FaultWith(Url("localhost", "none.pem")), HasSubstr("none.pem holds no certificates"));
  const net::TestCertificate issued = ca_.Issue("DNS:elsewhere");
  folder_.Write("redis.pem", issued.certificate);
  folder_.Write("redis.key", issued.key);
  server_->Stop();
  server_->Start();
  EXPECT_THAT(FaultWith(Url("localhost")),
              HasSubstr("its certificate is not trusted: hostname mismatch"));
}

TEST_F(RedisOverTls, ACertificateIsShownToAServerThatAsksForOne) {
  Start("yes");
  const net::TestCertificate own = ca_.Issue("DNS:headrace");
  folder_.Write("own.pem", own.certificate);
  folder_.Write("own.key", own.key);
  RedisUrl url = Url("localhost");
  EXPECT_THAT(FaultWith(url), AllOf(HasSubstr("Redis cannot be reached ("),
                                    HasSubstr("certificate_file= and key_file=")));
  url.certificate_file = Path("own.pem");
  url.key_file = Path("own.key");
  Redis redis(url);
  const auto set = redis.Set("k", "v");
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(redis.Get(Keys{"k"})->at(0).text, "v");
  url.key_file = Path("redis.key");
  EXPECT_THAT(FaultWith(url), HasSubstr("redis.key holds no unencrypted key of that certificate"));
  url.certificate_file = Path("redis.key");
  EXPECT_THAT(FaultWith(url), HasSubstr("redis.key holds no certificate"));
}

TEST(Redis, TlsWithAServerThatSpeaksNoneIsAnError) {
  const TestRedis server;
  RedisUrl url = server.url();
  url.tls = true;
  EXPECT_THAT(Redis(url, 0.2).Set("k", "v").error().message,
              HasSubstr("Redis cannot be reached ("));
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
