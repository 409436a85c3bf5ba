#include "measure/endpoint_grid.h"

#include <gtest/gtest.h>

#include "system/address.h"
#include "system/temporary_folder.h"

namespace headrace::measure {
namespace {

benchmark::Measurement Measured() {
  benchmark::Measurement measured;
  measured.point = {.input = 256, .output = 64, .rate = 2};
  measured.tput = 2;
  measured.e2e = {.mean = 1.2, .p50 = 1.1, .p90 = 1.5, .p99 = 2};
  measured.ttft = {.mean = 0.1, .p50 = 0.1, .p90 = 0.1, .p99 = 0.1};
  measured.tpot = {.mean = 0.01, .p50 = 0.01, .p90 = 0.01, .p99 = 0.01};
  measured.samples = 200;
  return measured;
}

TEST(Describe, SaysWhatAMeasurementMeansForTheProfile) {
  slo::Slo slo;
  slo.e2e = 1.5;
  benchmark::Measurement measured = Measured();
  EXPECT_EQ(Describe(measured, slo),
            "output 64, input 256 tokens, 2 req/s: kept (E2E 1.2 s, P99 2 s, 200 requests)");
  slo.percentile = 99;
  EXPECT_EQ(Describe(measured, slo),
            "output 64, input 256 tokens, 2 req/s: SLO missed (E2E 1.2 s, P99 2 s, 200 requests)");
  measured.sustained = false;
  EXPECT_EQ(Describe(measured, slo), "output 64, input 256 tokens, 2 req/s: not sustained");
  measured.send_lag = 0.5;
  EXPECT_EQ(Describe(measured, slo),
            "output 64, input 256 tokens, 2 req/s: this client was too slow, late by 500 ms (E2E "
            "1.2 s, P99 2 s, 200 requests)");
}

TEST(MeasureGrid, DoesNotRepeatWhatTheFileHolds) {
  const system::TemporaryFolder folder;
  const std::string path = (folder.path() / "a.jsonl").string();
  {
    auto file = BenchmarkFile::Open(path, {.model = "m", .deployment = "d", .slo = "none"});
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_TRUE(file->Add(Measured(), 0));
  }
  auto file = BenchmarkFile::Open(path, {.model = "m", .deployment = "d", .slo = "none"});
  ASSERT_TRUE(file) << file.error().message;
  net::IoThreads threads(1);
  // Port 1 has no server: a measurement fails.
  EndpointOptions options;
  options.target = completion::EndpointAt(*system::Resolve({"127.0.0.1", 1}));
  options.model = "m";
  EndpointBenchmark endpoint(threads[0], options);
  int reports = 0;
  const auto count = [&](const benchmark::Measurement&, const benchmark::GridProgress&) {
    ++reports;
  };
  benchmark::GridPlan plan{
      .inputs = {256}, .outputs = {64}, .rates = {2}, .slo = {}, .full = true, .fits = {}};
  EXPECT_TRUE(MeasureGrid(plan, endpoint, *file, 0, count));
  plan.rates = {2, 3};
  EXPECT_FALSE(MeasureGrid(plan, endpoint, *file, 0, count));
  EXPECT_EQ(reports, 0);
}

}  // namespace
}  // namespace headrace::measure
