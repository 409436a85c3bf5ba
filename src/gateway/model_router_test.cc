#include "gateway/model_router.h"

#include <gtest/gtest.h>

#include "net/test_peers.h"

namespace headrace {
namespace {

TEST(ModelRouter, DecisionThatCrossesWithTheClientsLeavingIsTakenBack) {
  MetricsRegistry registry;
  ModelMetrics metrics(registry, "m", {});
  const Log log(LogLevel::kError, LogFormat::kText, [](std::string_view) {});
  StandingFaults faults(log);
  IoThreads threads(1);
  SchedulerOptions options;
  options.policy = FindPolicy("least-request");
  ModelRouter router("m", options, threads, 0, {metrics.decision_seconds, faults});
  ASSERT_TRUE(router.UpdateFleet(std::vector<DeploymentSpec>{{"a10", 8, {"127.0.0.1:1"}}}));
  const bool carried_out = RunTask<bool>(threads[0], [&]() -> Task<bool> {
    Arrival arrival;
    RoutedRequest request(router, threads[0], arrival);
    EXPECT_EQ(router.Status().running, 1);
    request.Abandon();
    const std::optional<Route> route = co_await request.Wait(kNever);
    co_return route.has_value();
  });
  EXPECT_FALSE(carried_out);
  EXPECT_EQ(router.Status().running, 0);
}

}  // namespace
}  // namespace headrace
