#include "serving/model_router.h"

#include <gtest/gtest.h>

#include "net/test_peers.h"

namespace headrace::serving {
namespace {

TEST(ModelRouter, DecisionThatCrossesWithTheClientsLeavingIsTakenBack) {
  telemetry::MetricsRegistry registry;
  telemetry::ModelMetrics metrics(registry, "m", {});
  const telemetry::Log log(telemetry::LogLevel::kError, telemetry::LogFormat::kText,
                           [](std::string_view) {});
  telemetry::StandingFaults faults(log);
  net::IoThreads threads(1);
  scheduler::SchedulerOptions options;
  options.policy = routing::FindPolicy("least-request");
  ModelRouter router("m", options, threads, 0, {metrics.decision_seconds, faults});
  ASSERT_TRUE(router.UpdateFleet(std::vector<fleet::DeploymentSpec>{{"a10", 8, {"127.0.0.1:1"}}}));
  const bool carried_out = net::RunTask<bool>(threads[0], [&]() -> net::Task<bool> {
    scheduler::Arrival arrival;
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
}  // namespace headrace::serving
