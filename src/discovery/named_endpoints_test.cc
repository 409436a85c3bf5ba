#include "discovery/named_endpoints.h"

#include <gmock/gmock.h>

#include <map>

namespace headrace::discovery {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Names and the hosts that they resolve to; a name without hosts fails.
class FakeDns {
 public:
  Resolver resolver() {
    return [this](const system::HostPort& name) -> Result<std::vector<system::SocketAddress>> {
      ++looks[name.host];
      std::vector<system::SocketAddress> addresses;
      for (const std::string& host : hosts[name.host]) {
        addresses.push_back(*system::Resolve({host, name.port}));
      }
      if (addresses.empty()) return Fail("host \"" + name.host + "\" can't be resolved");
      return addresses;
    };
  }

  std::map<std::string, std::vector<std::string>> hosts;
  std::map<std::string, int> looks;
};

std::vector<std::string> Addresses(const DiscoveredDeployment& deployment) {
  std::vector<std::string> addresses;
  for (const DiscoveredEndpoint& endpoint : deployment.endpoints) {
    addresses.push_back(endpoint.address);
  }
  return addresses;
}

TEST(NamedEndpoints, ListsTheDeploymentsInTheOrderAsWritten) {
  FakeDns dns;
  dns.hosts = {{"b", {"10.0.0.2", "10.0.0.9"}}, {"a", {"10.0.0.1"}}, {"c", {"::1"}}};
  NamedEndpoints source({{.name = "l20", .max_in_flight = 64, .endpoints = {"b:80", "a:81"}},
                         {.name = "a10", .max_in_flight = 8, .endpoints = {"c:80"}}},
                        dns.resolver());
  EXPECT_THAT(*source.snapshot(), IsEmpty());
  EXPECT_TRUE(source.Refresh(100));
  const EndpointSnapshot& snapshot = *source.snapshot();
  ASSERT_EQ(snapshot.size(), 2u);
  EXPECT_EQ(snapshot[0].name, "l20");
  EXPECT_EQ(snapshot[0].max_in_flight, 64);
  EXPECT_THAT(Addresses(snapshot[0]), ElementsAre("b:80", "a:81"));
  EXPECT_EQ(snapshot[0].endpoints[0].resolved.ToString(), "10.0.0.2:80");
  EXPECT_EQ(snapshot[0].endpoints[1].resolved.ToString(), "10.0.0.1:81");
  EXPECT_EQ(snapshot[1].name, "a10");
  EXPECT_EQ(snapshot[1].endpoints[0].resolved.ToString(), "[::1]:80");
  EXPECT_EQ(source.outage(), "");
}

TEST(NamedEndpoints, ResolvesAnEndpointOnce) {
  FakeDns dns;
  dns.hosts = {{"a", {"10.0.0.1"}}};
  NamedEndpoints source({{.name = "d", .max_in_flight = 1, .endpoints = {"a:80"}}}, dns.resolver());
  EXPECT_TRUE(source.Refresh(0));
  const auto before = source.snapshot();
  dns.hosts = {{"a", {"10.0.0.2"}}};
  EXPECT_FALSE(source.Refresh(1000));
  EXPECT_EQ(source.snapshot(), before);
  EXPECT_EQ(dns.looks["a"], 1);
}

TEST(NamedEndpoints, AnEndpointThatCannotBeResolvedIsSaidAndTriedAgain) {
  FakeDns dns;
  dns.hosts = {{"b", {"10.0.0.2"}}};
  NamedEndpoints source(
      {{.name = "d", .max_in_flight = 1, .endpoints = {"a:80", "b:80", "none:1"}}}, dns.resolver());
  EXPECT_TRUE(source.Refresh(0));
  EXPECT_THAT(Addresses(source.snapshot()->at(0)), ElementsAre("b:80"));
  EXPECT_THAT(source.outage(),
              AllOf(HasSubstr("host \"a\" can't be resolved"), HasSubstr("1 more")));
  dns.hosts["a"] = {"10.0.0.1"};
  EXPECT_FALSE(source.Refresh(4.9));
  EXPECT_TRUE(source.Refresh(5));
  EXPECT_THAT(Addresses(source.snapshot()->at(0)), ElementsAre("a:80", "b:80"));
  EXPECT_EQ(source.outage(), "host \"none\" can't be resolved");
  dns.hosts["none"] = {"10.0.0.3"};
  EXPECT_TRUE(source.Refresh(10));
  EXPECT_EQ(source.outage(), "");
}

TEST(NamedEndpoints, AGroupIsEveryAddressOfItsName) {
  FakeDns dns;
  dns.hosts = {{"engines", {"10.0.0.2", "10.0.0.1"}}, {"a", {"10.0.0.7"}}};
  NamedEndpoints source(
      {{.name = "d", .max_in_flight = 4, .endpoints = {"a:80"}, .groups = {"engines:8000"}}},
      dns.resolver());
  EXPECT_TRUE(source.Refresh(0));
  EXPECT_THAT(Addresses(source.snapshot()->at(0)),
              ElementsAre("a:80", "10.0.0.1:8000", "10.0.0.2:8000"));

  const auto before = source.snapshot();
  dns.hosts["engines"] = {"10.0.0.1", "10.0.0.2"};
  EXPECT_FALSE(source.Refresh(5)) << "another order is no change";

  dns.hosts["engines"] = {"10.0.0.3", "10.0.0.1"};
  EXPECT_TRUE(source.Refresh(10));
  EXPECT_THAT(Addresses(source.snapshot()->at(0)),
              ElementsAre("a:80", "10.0.0.1:8000", "10.0.0.3:8000"));
  EXPECT_THAT(Addresses(before->at(0)), ElementsAre("a:80", "10.0.0.1:8000", "10.0.0.2:8000"))
      << "a snapshot that was handed out does not change";
}

TEST(NamedEndpoints, AGroupKeepsItsLastGoodAddressesWhileItCannotBeResolved) {
  FakeDns dns;
  dns.hosts = {{"engines", {"10.0.0.1"}}};
  NamedEndpoints source({{.name = "d", .max_in_flight = 4, .groups = {"engines:8000"}}},
                        dns.resolver());
  EXPECT_TRUE(source.Refresh(0));
  const auto before = source.snapshot();
  dns.hosts.clear();
  EXPECT_TRUE(source.Refresh(5));
  EXPECT_EQ(source.snapshot(), before);
  EXPECT_THAT(source.outage(), HasSubstr("\"engines\" can't be resolved"));
  EXPECT_FALSE(source.Refresh(10)) << "the same outage is said once";
  dns.hosts["engines"] = {"10.0.0.1"};
  EXPECT_TRUE(source.Refresh(15));
  EXPECT_EQ(source.snapshot(), before);
  EXPECT_EQ(source.outage(), "");
}

TEST(NamedEndpoints, NoAddressComesTwice) {
  FakeDns dns;
  dns.hosts = {{"engines", {"10.0.0.1", "10.0.0.2"}}, {"10.0.0.1", {"10.0.0.1"}}};
  NamedEndpoints source(
      {{.name = "a", .max_in_flight = 4, .endpoints = {"10.0.0.1:80"}, .groups = {"engines:80"}},
       {.name = "b", .max_in_flight = 4, .groups = {"engines:80"}}},
      dns.resolver());
  EXPECT_TRUE(source.Refresh(0));
  EXPECT_THAT(Addresses(source.snapshot()->at(0)), ElementsAre("10.0.0.1:80", "10.0.0.2:80"));
  EXPECT_THAT(Addresses(source.snapshot()->at(1)), IsEmpty());
}

TEST(NamedEndpoints, AsksTheSystemByDefault) {
  NamedEndpoints source({{.name = "d", .max_in_flight = 4, .groups = {"127.0.0.1:80"}}});
  EXPECT_TRUE(source.Refresh(0));
  EXPECT_THAT(Addresses(source.snapshot()->at(0)), ElementsAre("127.0.0.1:80"));
}

}  // namespace
}  // namespace headrace::discovery
