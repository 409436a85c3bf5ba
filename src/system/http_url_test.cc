#include "system/http_url.h"

#include <gmock/gmock.h>

namespace headrace::system {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ParseHttpUrl, IsWrittenAsShortAsItCanBe) {
  const std::pair<const char*, const char*> cases[] = {
      {"10.0.0.1:8000", "10.0.0.1:8000"},
      {"http://Engine.Example:8000/", "engine.example:8000"},
      {"http://engine", "engine:80"},
      {"http://engine/llm", "http://engine/llm"},
      {"engine:80/llm/", "http://engine/llm"},
      {"HTTPS://engine", "https://engine"},
      {"https://engine:443/v1", "https://engine"},
      {"https://engine:8443/a%20b/v1/", "https://engine:8443/a%20b"},
      {"https://[::1]", "https://[::1]"},
      {"[::1]:80", "[::1]:80"},
  };
  for (const auto& [text, shortest] : cases) {
    const auto url = ParseHttpUrl(text);
    ASSERT_TRUE(url) << text << " " << url.error().message;
    EXPECT_EQ(url->ToString(), shortest) << text;
    EXPECT_EQ(ParseHttpUrl(url->ToString()), *url) << text;
  }
}

TEST(ParseHttpUrl, KnowsItsParts) {
  const HttpUrl url = *ParseHttpUrl("https://engine.example/llm/v1");
  EXPECT_TRUE(url.tls);
  EXPECT_EQ(url.host, (HostPort{"engine.example", 443}));
  EXPECT_EQ(url.base, "/llm");
  EXPECT_EQ(url.Authority(), "engine.example");
  EXPECT_EQ(ParseHttpUrl("engine:8000")->Authority(), "engine:8000");
  EXPECT_EQ(url.With({"10.0.0.1", 443}), "https://10.0.0.1/llm");
  EXPECT_EQ(ParseHttpUrl("engine:8000")->With({"::1", 8000}), "[::1]:8000");
}

TEST(ParseHttpUrl, SaysWhatIsWrongAndNeverThePassword) {
  const std::pair<const char*, const char*> cases[] = {
      {"engine", "has no port; write it like engine-3:8000"},
      {"", "has no"},
      {"https://", "has no host"},
      {"engine:0", "has port 0"},
      {"engine:x", "the port is not a number"},
      {"ftp://engine:1", "write http:// or https://"},
      {"https://me:secret@engine", "has a user or a password in it; remove that"},
      {"https://engine/?key=secret", "has a query"},
      {"https://engine/#secret", "there is a #"},
      {"engine one:80", "is no URL"},
  };
  for (const auto& [text, message] : cases) {
    const auto url = ParseHttpUrl(text);
    ASSERT_FALSE(url) << text;
    EXPECT_THAT(url.error().message, HasSubstr(message)) << text;
    EXPECT_THAT(url.error().message, Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace headrace::system
