#include "store/redis_url.h"

#include <gmock/gmock.h>

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

TEST(RedisUrl, NamesTheFixAndNeverThePassword) {
  EXPECT_EQ(ParseRedisUrl("redis://u:secret@h/1")->Name(), "redis://h:6379/1");
  for (const char* text : {"",
                           "h:1",
                           "http://h",
                           "rediss://h",
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
                           "redis://h?model=a#b"}) {
    const auto url = ParseRedisUrl(text);
    ASSERT_FALSE(url) << text;
    EXPECT_THAT(url.error().message, HasSubstr("write it like")) << text;
    EXPECT_THAT(url.error().message, Not(HasSubstr("secret"))) << text;
  }
}

}  // namespace
}  // namespace headrace::store
