#include "discovery/named_endpoints.h"

#include <gmock/gmock.h>

#include <future>
#include <map>

#include "system/mutex.h"

namespace headrace::discovery {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Names and the hosts that they resolve to; a name without hosts fails.
class FakeDns {
 public:
  std::shared_ptr<NameResolver> resolver() const { return resolver_; }
  void Set(const std::map<std::string, std::vector<std::string>>& hosts) {
    const system::MutexLock lock(table_->mutex);
    table_->hosts = hosts;
  }
  int looks(const std::string& name) const {
    const system::MutexLock lock(table_->mutex);
    return table_->looks[name];
  }
  // Looks once, until all that is due has been looked up; true if anything has changed.
  bool Refresh(NamedEndpoints& source, Seconds now) const {
    const bool at_once = source.Refresh(now);
    resolver_->Wait(20);
    return source.Refresh(now) || at_once;
  }

 private:
  // A look-up may outlive the test.
  struct Table {
    system::Mutex mutex;
    std::map<std::string, std::vector<std::string>> hosts HEADRACE_GUARDED_BY(mutex);
    std::map<std::string, int> looks HEADRACE_GUARDED_BY(mutex);
  };

  std::shared_ptr<Table> table_ = std::make_shared<Table>();
  std::shared_ptr<NameResolver> resolver_ = std::make_shared<NameResolver>(
      [table = table_](const system::HostPort& name) -> Result<std::vector<system::SocketAddress>> {
        const system::MutexLock lock(table->mutex);
        ++table->looks[name.host];
        std::vector<system::SocketAddress> addresses;
        for (const std::string& host : table->hosts[name.host]) {
          addresses.push_back(*system::Resolve({host, name.port}));
        }
        if (addresses.empty()) return Fail("host \"" + name.host + "\" can't be resolved");
        return addresses;
      });
};

NamedEndpoint One(const std::string& url) { return {.url = *system::ParseHttpUrl(url)}; }
NamedEndpoint Every(const std::string& url) {
  return {.url = *system::ParseHttpUrl(url), .every_address = true};
}

std::vector<std::string> Names(const DiscoveredDeployment& deployment) {
  std::vector<std::string> names;
  for (const DiscoveredEndpoint& endpoint : deployment.endpoints) {
    names.push_back(endpoint.address);
  }
  return names;
}

std::string AddressOf(const NamedEndpoints& source, std::size_t endpoint = 0) {
  const auto& resolved = source.snapshot()->at(0).endpoints.at(endpoint).resolved;
  return resolved ? resolved->ToString() : "";
}

TEST(NamedEndpoints, ListsTheDeploymentsInTheOrderAsWritten) {
  FakeDns dns;
  dns.Set({{"b", {"10.0.0.2", "10.0.0.9"}}, {"a", {"10.0.0.1"}}, {"c", {"::1"}}});
  NamedEndpoints source(
      {{.name = "l20", .max_in_flight = 64, .endpoints = {One("https://b/llm"), One("a:81")}},
       {.name = "a10", .max_in_flight = 8, .endpoints = {One("c:80")}}},
      dns.resolver());
  EXPECT_THAT(*source.snapshot(), IsEmpty());
  EXPECT_TRUE(dns.Refresh(source, 100));
  const EndpointSnapshot& snapshot = *source.snapshot();
  ASSERT_EQ(snapshot.size(), 2u);
  EXPECT_EQ(snapshot[0].name, "l20");
  EXPECT_EQ(snapshot[0].max_in_flight, 64);
  EXPECT_THAT(Names(snapshot[0]), ElementsAre("https://b/llm", "a:81"));
  EXPECT_EQ(snapshot[0].endpoints[0].resolved->ToString(), "10.0.0.2:443");
  EXPECT_EQ(snapshot[0].endpoints[1].resolved->ToString(), "10.0.0.1:81");
  EXPECT_EQ(snapshot[1].name, "a10");
  EXPECT_EQ(snapshot[1].endpoints[0].resolved->ToString(), "[::1]:80");
  EXPECT_EQ(source.outage(), "");
}

TEST(NamedEndpoints, AnEndpointFollowsItsName) {
  FakeDns dns;
  dns.Set({{"a", {"10.0.0.1"}}});
  NamedEndpoints source({{.name = "d", .max_in_flight = 1, .endpoints = {One("a:80")}}},
                        dns.resolver());
  EXPECT_TRUE(dns.Refresh(source, 0));
  const auto before = source.snapshot();
  dns.Set({{"a", {"10.0.0.2"}}});
  EXPECT_FALSE(dns.Refresh(source, 4.9));
  EXPECT_EQ(dns.looks("a"), 1) << "not looked up again that soon";
  EXPECT_TRUE(dns.Refresh(source, 5));
  EXPECT_EQ(AddressOf(source), "10.0.0.2:80");
  EXPECT_THAT(Names(source.snapshot()->at(0)), ElementsAre("a:80"));
  EXPECT_EQ(before->at(0).endpoints[0].resolved->ToString(), "10.0.0.1:80")
      << "a snapshot that was handed out does not change";
}

// Resolvers list the addresses of a name in turns.
TEST(NamedEndpoints, AnEndpointStaysAtItsAddressWhileItsNameHasThat) {
  FakeDns dns;
  dns.Set({{"a", {"10.0.0.1", "10.0.0.2"}}});
  NamedEndpoints source({{.name = "d", .max_in_flight = 1, .endpoints = {One("a:80")}}},
                        dns.resolver());
  EXPECT_TRUE(dns.Refresh(source, 0));
  dns.Set({{"a", {"10.0.0.2", "10.0.0.1"}}});
  EXPECT_FALSE(dns.Refresh(source, 5));
  EXPECT_EQ(AddressOf(source), "10.0.0.1:80");
  dns.Set({{"a", {"10.0.0.3", "10.0.0.2"}}});
  EXPECT_TRUE(dns.Refresh(source, 10));
  EXPECT_EQ(AddressOf(source), "10.0.0.2:80");
}

TEST(NamedEndpoints, ANameThatCannotBeResolvedIsAnEndpointWithoutAddress) {
  FakeDns dns;
  dns.Set({{"b", {"10.0.0.2"}}});
  NamedEndpoints source(
      {{.name = "d", .max_in_flight = 1, .endpoints = {One("a:80"), One("b:80"), Every("c:1")}}},
      dns.resolver());
  EXPECT_TRUE(dns.Refresh(source, 0));
  EXPECT_THAT(Names(source.snapshot()->at(0)), ElementsAre("a:80", "b:80", "c:1"));
  EXPECT_EQ(AddressOf(source, 0), "");
  EXPECT_THAT(source.snapshot()->at(0).endpoints[0].fault, "host \"a\" can't be resolved");
  EXPECT_EQ(AddressOf(source, 1), "10.0.0.2:80");
  EXPECT_THAT(source.snapshot()->at(0).endpoints[2].fault, "host \"c\" can't be resolved");
  dns.Set({{"a", {"10.0.0.1"}}, {"b", {"10.0.0.2"}}, {"c", {"10.0.0.3", "10.0.0.4"}}});
  EXPECT_TRUE(dns.Refresh(source, 5));
  EXPECT_THAT(Names(source.snapshot()->at(0)),
              ElementsAre("a:80", "b:80", "10.0.0.3:1", "10.0.0.4:1"));
  EXPECT_EQ(AddressOf(source, 0), "10.0.0.1:80");
  EXPECT_EQ(source.snapshot()->at(0).endpoints[0].fault, "");
}

TEST(NamedEndpoints, EveryAddressOfANameCanBeAnEndpoint) {
  FakeDns dns;
  dns.Set({{"engines", {"10.0.0.2", "10.0.0.1"}}, {"a", {"10.0.0.7"}}});
  NamedEndpoints source({{.name = "d",
                          .max_in_flight = 4,
                          .endpoints = {One("a:80"), Every("https://engines:8000/llm")}}},
                        dns.resolver());
  EXPECT_TRUE(dns.Refresh(source, 0));
  EXPECT_THAT(Names(source.snapshot()->at(0)),
              ElementsAre("a:80", "https://10.0.0.1:8000/llm", "https://10.0.0.2:8000/llm"));

  dns.Set({{"engines", {"10.0.0.1", "10.0.0.2"}}, {"a", {"10.0.0.7"}}});
  EXPECT_FALSE(dns.Refresh(source, 5)) << "another order is no change";

  dns.Set({{"engines", {"10.0.0.3", "10.0.0.1"}}, {"a", {"10.0.0.7"}}});
  EXPECT_TRUE(dns.Refresh(source, 10));
  EXPECT_THAT(Names(source.snapshot()->at(0)),
              ElementsAre("a:80", "https://10.0.0.1:8000/llm", "https://10.0.0.3:8000/llm"));
}

TEST(NamedEndpoints, ANameKeepsItsLastGoodAddressesWhileItCannotBeResolved) {
  FakeDns dns;
  dns.Set({{"engines", {"10.0.0.1"}}, {"a", {"10.0.0.7"}}});
  const std::vector<NamedDeployment> deployments = {
      {.name = "d", .max_in_flight = 4, .endpoints = {Every("engines:8000"), One("a:80")}}};
  NamedEndpoints source(deployments, dns.resolver());
  EXPECT_TRUE(dns.Refresh(source, 0));
  const auto before = source.snapshot();
  dns.Set({});
  EXPECT_TRUE(dns.Refresh(source, 5));
  EXPECT_EQ(source.snapshot(), before);
  EXPECT_THAT(source.outage(),
              AllOf(HasSubstr("\"engines\" can't be resolved"), HasSubstr("1 more")));
  EXPECT_FALSE(dns.Refresh(source, 10)) << "the same outage is said once";

  NamedEndpoints reloaded(deployments, dns.resolver());
  EXPECT_TRUE(reloaded.Refresh(11));
  EXPECT_EQ(*reloaded.snapshot(), *before) << "the resolver remembers";

  dns.Set({{"engines", {"10.0.0.1"}}, {"a", {"10.0.0.7"}}});
  EXPECT_TRUE(dns.Refresh(source, 16));
  EXPECT_EQ(source.snapshot(), before);
  EXPECT_EQ(source.outage(), "");
}

TEST(NamedEndpoints, NoNameComesTwice) {
  FakeDns dns;
  dns.Set({{"engines", {"10.0.0.1", "10.0.0.2"}}, {"10.0.0.1", {"10.0.0.1"}}});
  NamedEndpoints source(
      {{.name = "a", .max_in_flight = 4, .endpoints = {One("10.0.0.1:80"), Every("engines:80")}},
       {.name = "b", .max_in_flight = 4, .endpoints = {Every("engines:80")}}},
      dns.resolver());
  EXPECT_TRUE(dns.Refresh(source, 0));
  EXPECT_THAT(Names(source.snapshot()->at(0)), ElementsAre("10.0.0.1:80", "10.0.0.2:80"));
  EXPECT_THAT(Names(source.snapshot()->at(1)), IsEmpty());
}

TEST(NamedEndpoints, AsksTheSystemByDefault) {
  NamedEndpoints source({{.name = "d", .max_in_flight = 4, .endpoints = {One("127.0.0.1:80")}}},
                        std::make_shared<NameResolver>());
  EXPECT_TRUE(source.Refresh(0));
  EXPECT_EQ(AddressOf(source), "127.0.0.1:80");
}

// A resolver that never answers holds up neither other names nor the end.
TEST(NameResolver, NobodyWaitsForALookUp) {
  auto forever = std::make_shared<std::promise<void>>();
  auto resolver = std::make_unique<NameResolver>(
      [forever](const system::HostPort& name) -> Result<std::vector<system::SocketAddress>> {
        if (name.host == "slow") forever->get_future().wait();
        return std::vector{*system::Resolve({"10.0.0.1", name.port})};
      });
  EXPECT_THAT(resolver->Look({"slow", 80}, 0).addresses, IsEmpty());
  for (Seconds now = 0; resolver->Look({"quick", 80}, now).addresses.empty(); now += 0.001) {
    resolver->Wait(0.001);
  }
  EXPECT_THAT(resolver->Look({"slow", 80}, 6).fault, HasSubstr("without an answer so far"));
  resolver.reset();
  forever->set_value();
}

}  // namespace
}  // namespace headrace::discovery
