#include "store/redis_url.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "system/files.h"
#include "system/temporary_folder.h"

namespace headrace::store {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(RedisUrl, TakesEveryPart) {
  EXPECT_EQ(*ParseRedisUrl("redis://h"), (RedisUrl{.host = "h"}));
  EXPECT_EQ(*ParseRedisUrl("redis://u:p%40ss:w@h.example:7000/3?model=org%2Fm"),
            (RedisUrl{"h.example", 7000, "u", "p@ss:w", 3, "org/m"}));
  EXPECT_EQ(*ParseRedisUrl("redis://:secret@h:1/?model=m"),
            (RedisUrl{.host = "h", .port = 1, .password = "secret", .model = "m"}));
  EXPECT_EQ(ParseRedisUrl("redis://secret@h")->password, "secret");
  EXPECT_EQ(*ParseRedisUrl("redis://h/?"), (RedisUrl{.host = "h"}));
  EXPECT_EQ(*ParseRedisUrl("redis://h?model=org@v2"), (RedisUrl{.host = "h", .model = "org@v2"}));
  EXPECT_EQ(ParseRedisUrl("redis://[::1]:7/2")->Name(), "redis://[::1]:7/2");
}

TEST(RedisUrl, MayNameASocketTlsAndWhereThePasswordIs) {
  EXPECT_EQ(*ParseRedisUrl("unix:///run/redis/redis.sock?db=3&model=m"),
            (RedisUrl{.database = 3, .model = "m", .socket = "/run/redis/redis.sock"}));
  EXPECT_EQ(ParseRedisUrl("unix://u:secret@/r.sock")->password, "secret");
  EXPECT_EQ(ParseRedisUrl("unix://u:secret@/r.sock")->Name(), "unix:///r.sock?db=0");
  const auto tls = ParseRedisUrl("rediss://h/2?ca_file=/ca.pem&password_file=/run/secrets/redis");
  ASSERT_TRUE(tls) << tls.error().message;
  EXPECT_EQ(*tls, (RedisUrl{.host = "h",
                            .database = 2,
                            .password_file = "/run/secrets/redis",
                            .tls = true,
                            .ca_file = "/ca.pem"}));
  EXPECT_EQ(tls->Name(), "rediss://h:6379/2");
  EXPECT_EQ(
      *ParseRedisUrl("rediss://h?certificate_file=/c.pem&key_file=/k.pem"),
      (RedisUrl{.host = "h", .tls = true, .certificate_file = "/c.pem", .key_file = "/k.pem"}));
  const auto user = ParseRedisUrl("redis://me@h?password_env=PASSWORD");
  ASSERT_TRUE(user) << user.error().message;
  EXPECT_EQ(user->user, "me") << "the password is elsewhere";
  EXPECT_EQ(user->password, "");
}

TEST(RedisUrl, ThePasswordIsReadFromTheEnvironmentOrAFile) {
  const system::TemporaryFolder folder;
  const std::string file = folder.path() / "password";
  const RedisUrl of_file = *ParseRedisUrl("redis://h?password_file=" + file);
  EXPECT_THAT(PasswordOf(of_file).error().message, HasSubstr(file + ": cannot be opened"));
  ASSERT_TRUE(system::WriteFile(file, "first\n"));
  EXPECT_EQ(*PasswordOf(of_file), "first");
  ASSERT_TRUE(system::WriteFile(file, "second"));
  EXPECT_EQ(*PasswordOf(of_file), "second") << "it is read again";
  const RedisUrl of_environment = *ParseRedisUrl("redis://h?password_env=HEADRACE_TEST_PASSWORD");
  EXPECT_EQ(PasswordOf(of_environment).error().message,
            "the environment has no password in HEADRACE_TEST_PASSWORD");
  setenv("HEADRACE_TEST_PASSWORD", "p@ss/word", 1);
  EXPECT_EQ(*PasswordOf(of_environment), "p@ss/word") << "nothing is encoded";
  unsetenv("HEADRACE_TEST_PASSWORD");
}

TEST(RedisUrl, NamesTheFixAndNeverThePassword) {
  EXPECT_EQ(ParseRedisUrl("redis://u:secret@h/1")->Name(), "redis://h:6379/1");
  for (const char* text : {"",
                           "h:1",
                           "http://h",
                           "redis://",
                           "redis://:1",
                           "redis://u:secret@",
                           "redis://h:0",
                           "redis://h:x",
                           "redis://h:70000",
                           "redis://h/x",
                           "redis://h/-1",
                           "redis://h?db=1",
                           "redis://h?model=",
                           "redis://h?model=a&b=c",
                           "redis://u:secret%4@h",
                           "redis://u:@h",
                           "redis://[::1",
                           "redis://[::1]x:1",
                           "redis://a b",
                           "redis://:secret@part@h",
                           "redis://:secret/part@h",
                           "redis://u:secret#part@h",
                           "redis://h?model=a#b",
                           "redis://h?password_env=",
                           "redis://h?password_file=here",
                           "redis://h?ca_file=/ca.pem",
                           "redis://h?certificate_file=/c.pem&key_file=/k.pem",
                           "rediss://h?certificate_file=/c.pem",
                           "rediss://h?key_file=/k.pem",
                           "redis://h?password_env=A&password_file=/b",
                           "redis://u:secret@h?password_env=A",
                           "rediss://",
                           "unix://",
                           "unix://host/socket",
                           "unix:///socket?db=x",
                           "unix:///socket?db=1&db=-1"}) {
    const auto url = ParseRedisUrl(text);
    ASSERT_FALSE(url) << text;
    EXPECT_THAT(url.error().message, HasSubstr("write it like")) << text;
    EXPECT_THAT(url.error().message, Not(HasSubstr("secret"))) << text;
  }
}

}  // namespace
}  // namespace headrace::store
