#include "system/address.h"

#include <gmock/gmock.h>

namespace headrace::system {
namespace {

using ::testing::HasSubstr;

TEST(ParseHostPort, ReadsWhatPeopleWrite) {
  EXPECT_EQ(ParseHostPort("127.0.0.1:8080"), (HostPort{"127.0.0.1", 8080}));
  EXPECT_EQ(ParseHostPort("engine-7.local:0"), (HostPort{"engine-7.local", 0}));
  EXPECT_EQ(ParseHostPort("[::1]:443"), (HostPort{"::1", 443}));
  EXPECT_EQ(ParseHostPort(":9090"), (HostPort{"0.0.0.0", 9090}));
  EXPECT_EQ(ParseHostPort("[::1]:443")->ToString(), "[::1]:443");
}

TEST(ParseHostPort, SaysWhatIsWrongAndHowToWriteIt) {
  const std::pair<const char*, const char*> cases[] = {
      {"localhost", "has no port"},
      {"", "has no port"},
      {"[::1]", "has no port"},
      {"[::1", "closing bracket"},
      {"[localhost]:80", "no IPv6 address"},
      {"::1:80", "without brackets"},
      {"host:", "no port from 0 to 65535"},
      {"host:65536", "no port from 0 to 65535"},
      {"host:80x", "no port from 0 to 65535"},
      {"host:-1", "no port from 0 to 65535"},
      {"http://host:80", "without brackets"},
      {"a b:80", "no valid host name"},
  };
  for (const auto& [text, why] : cases) {
    const Result<HostPort> parsed = ParseHostPort(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr(why)) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr("host:port")) << text;
  }
}

TEST(Resolve, NumericAndNamedAddresses) {
  EXPECT_EQ(Resolve({"127.0.0.1", 80})->ToString(), "127.0.0.1:80");
  EXPECT_EQ(Resolve({"::1", 80})->ToString(), "[::1]:80");
  EXPECT_EQ(Resolve({"localhost", 81})->ToString(), "127.0.0.1:81");
  EXPECT_EQ(SocketAddress().ToString(), "-");
  EXPECT_EQ(Resolve({"127.0.0.1", 80})->Host(), "127.0.0.1");
  EXPECT_EQ(Resolve({"::1", 80})->Host(), "::1");
  EXPECT_EQ(SocketAddress().Host(), "-");
  const Result<SocketAddress> none = Resolve({"no-such-host.invalid", 80});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("no-such-host.invalid"));
}

TEST(ResolveAll, ListsIpv4First) {
  const auto local = ResolveAll({"localhost", 81});
  ASSERT_TRUE(local) << local.error().message;
  EXPECT_EQ(local->front().ToString(), "127.0.0.1:81");
  for (std::size_t i = 1; i < local->size(); ++i) EXPECT_EQ((*local)[i].ToString(), "[::1]:81");
  EXPECT_FALSE(ResolveAll({"no-such-host.invalid", 80}));
}

TEST(SocketAddress, EqualAddressesHashAlike) {
  EXPECT_EQ(*Resolve({"127.0.0.1", 80}), *Resolve({"127.0.0.1", 80}));
  EXPECT_EQ(Resolve({"::1", 80})->Hash(), Resolve({"::1", 80})->Hash());
  EXPECT_FALSE(*Resolve({"127.0.0.1", 80}) == *Resolve({"127.0.0.1", 81}));
  EXPECT_FALSE(*Resolve({"127.0.0.1", 80}) == *Resolve({"::1", 80}));
}

}  // namespace
}  // namespace headrace::system
