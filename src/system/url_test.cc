#include "system/url.h"

#include <gmock/gmock.h>

namespace headrace::system {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(ParseUrl, DecodesEveryPart) {
  const auto url = ParseUrl("HTTP://me:se%20cret%2f@engine-3.gpu:8000/v1/a%20b?x=1%262&flag");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->scheme, "http");
  EXPECT_EQ(url->user, "me");
  EXPECT_EQ(url->password, "se cret/");
  EXPECT_EQ(url->host, "engine-3.gpu");
  EXPECT_EQ(url->port, 8000);
  EXPECT_EQ(url->path, "/v1/a b");
  EXPECT_THAT(url->query, ElementsAre(QueryParameter{"x", "1&2"}, QueryParameter{"flag", ""}));
}

TEST(ParseUrl, PartsMayBeMissing) {
  const auto url = ParseUrl("redis://[::1]");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->user, "");
  EXPECT_EQ(url->password, std::nullopt);
  EXPECT_EQ(url->port, std::nullopt);
  EXPECT_EQ(url->path, "");
  EXPECT_THAT(url->query, IsEmpty());
  EXPECT_EQ(ParseUrl("redis://:@h:0/?")->password, "");
}

TEST(ParseUrl, SaysWhatIsWrongAndNeverThePassword) {
  const std::pair<const char*, const char*> cases[] = {
      {"http://u:secret@h:port", "the port is not a number"},
      {"http://u:secret@h:", "the port is not a number"},
      {"http://u:secret@h:65536", "the port is not a number"},
      {"http://u:secret@h@i", "followed by something other"},
      {"http://u:secret@[::1]x:1", "followed by something other"},
      {"http://u:secret#x@h", "write that as %23"},
      {"http://u:secret%4@h", "not a valid URL"},
      {"http://u:secret@a b", "not a valid URL"},
      {"http://u:secret@h/?a=%zz", "not a valid URL"},
      {"http://u:secret@[::1", "not a valid URL"},
      {"secret", "not a valid URL"},
      {"", "not a valid URL"},
  };
  for (const auto& [text, why] : cases) {
    const auto url = ParseUrl(text);
    ASSERT_FALSE(url) << text;
    EXPECT_THAT(url.error().message, HasSubstr(why)) << text;
    EXPECT_THAT(url.error().message, Not(HasSubstr("secret"))) << text;
  }
}

TEST(ParseQuery, DecodesNamesAndValues) {
  EXPECT_THAT(*ParseQuery("model=org%2Fm&d%C3%BCr=1m&a=b=c&x"),
              ElementsAre(QueryParameter{"model", "org/m"}, QueryParameter{"dür", "1m"},
                          QueryParameter{"a", "b=c"}, QueryParameter{"x", ""}));
  EXPECT_THAT(*ParseQuery(""), IsEmpty());
  // The text is a part of a longer one.
  const std::string_view line = "a=1&duration=1m HTTP/1.1";
  EXPECT_EQ(ParseQuery(line.substr(0, 15))->back(), (QueryParameter{"duration", "1m"}));
  EXPECT_EQ(ParseQuery("model=a+b")->at(0).value, "a+b");
  for (const char* bad : {"model=%zz", "model=%4", "a b", "a#b"})
    EXPECT_FALSE(ParseQuery(bad)) << bad;
}

TEST(IsPathAndQuery, TellsWhatARequestLineTakes) {
  for (const char* good : {"/", "/health", "/health?full=1", "/a%20b"}) {
    EXPECT_TRUE(IsPathAndQuery(good)) << good;
  }
  for (const char* bad : {"", "health", "/a b", "/a#b", "/a%2", "http://h/health"}) {
    EXPECT_FALSE(IsPathAndQuery(bad)) << bad;
  }
}

}  // namespace
}  // namespace headrace::system
