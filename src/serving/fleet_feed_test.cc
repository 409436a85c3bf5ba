#include "serving/fleet_feed.h"

#include <gmock/gmock.h>

#include <set>

#include "serving/test_shell.h"

namespace headrace::serving {
namespace {

using testing::ElementsAre;

// Never changes by itself.
class FixedEndpoints final : public discovery::EndpointSource {
 public:
  FixedEndpoints(const std::vector<std::string>& addresses, std::string outage) {
    discovery::DiscoveredDeployment deployment{"a10", 8, {}};
    for (const std::string& address : addresses)
      deployment.endpoints.push_back({address, system::SocketAddress()});
    Publish({deployment}, std::move(outage));
  }
  bool Refresh(Seconds /*now*/) override { return false; }
};

std::vector<FollowedPool> Fixed(FakeServing& serving, const std::vector<std::string>& addresses,
                                std::string outage = "") {
  std::vector<FollowedPool> followed;
  followed.push_back({serving.pools.Find("llama"),
                      std::make_unique<FixedEndpoints>(addresses, std::move(outage))});
  return followed;
}

TEST(FleetFeed, HandsOutTheFleetAndItsChanges) {
  FakeServing serving;
  std::vector<std::string> heard;
  FleetFeed feed(Fixed(serving, {"a:1", "b:1"}), serving.metrics, serving.faults,
                 [&](Pool& pool, const EndpointList& endpoints) {
                   std::set<std::string> addresses;
                   for (const auto& endpoint : endpoints) addresses.insert(endpoint->address);
                   std::string text = pool.name();
                   for (const std::string& address : addresses) text += " " + address;
                   heard.push_back(text);
                 });
  feed.Follow(Fixed(serving, {"b:1", "c:1"}));
  feed.Follow(Fixed(serving, {"b:1", "c:1"}));  // Nothing new.
  EXPECT_THAT(heard, ElementsAre("llama a:1 b:1", "llama b:1 c:1"));
  EXPECT_EQ(serving.router().Endpoints().size(), 2);
  const std::string series = serving.registry.Text();
  EXPECT_EQ(series.find("endpoint=\"a:1\""), std::string::npos);
  EXPECT_NE(series.find("endpoint=\"c:1\""), std::string::npos);
}

TEST(FleetFeed, AnOutageIsReportedAndTakesNothingAway) {
  FakeServing serving;
  FleetFeed feed(Fixed(serving, {"a:1"}, "DNS cannot be reached."), serving.metrics, serving.faults,
                 [](Pool&, const EndpointList&) {});
  EXPECT_EQ(serving.faults.standing(), 1);
  EXPECT_EQ(serving.router().Endpoints().size(), 1);
  feed.Follow(Fixed(serving, {"a:1"}));
  EXPECT_EQ(serving.faults.standing(), 0);
}

}  // namespace
}  // namespace headrace::serving
