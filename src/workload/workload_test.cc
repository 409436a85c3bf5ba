#include "workload/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace headrace::workload {
namespace {

using ::testing::HasSubstr;

std::vector<WorkloadRequest> Take(const Workload& workload, std::uint64_t seed, std::size_t count,
                                  double scale = 1) {
  WorkloadStream stream(workload, seed, scale);
  std::vector<WorkloadRequest> requests;
  while (requests.size() < count) {
    const auto request = stream.Next();
    if (!request) break;
    requests.push_back(*request);
  }
  return requests;
}

WorkloadClass Class(std::string name, Arrivals arrivals) {
  return {.name = std::move(name),
          .arrivals = std::move(arrivals),
          .lengths = DistributedLengths{UniformTokens{1, 1000}, UniformTokens{1, 1000}},
          .slo = {},
          .rate_changes = {}};
}

Workload ChatAndCode() { return FindNamedWorkload("chat-and-code")->make(); }

std::vector<WorkloadRequest> OfClass(const std::vector<WorkloadRequest>& requests,
                                     std::uint32_t index) {
  std::vector<WorkloadRequest> found;
  for (WorkloadRequest request : requests) {
    if (request.class_index != index) continue;
    request.class_index = 0;
    found.push_back(request);
  }
  return found;
}

TEST(Workload, TheSameSeedGivesTheSameRequests) {
  EXPECT_EQ(Take(ChatAndCode(), 1, 1000), Take(ChatAndCode(), 1, 1000));
  EXPECT_NE(Take(ChatAndCode(), 1, 1000), Take(ChatAndCode(), 2, 1000));
}

TEST(Workload, AClassDoesNotDependOnTheOthers) {
  const Workload both = ChatAndCode();
  Workload alone;
  alone.classes = {both.classes[1]};
  auto mixed = OfClass(Take(both, 5, 3000), 1);
  auto single = Take(alone, 5, 500);
  mixed.resize(500);
  EXPECT_EQ(mixed, single);
}

TEST(Workload, RateScaleMovesTheSameRequestsInTime) {
  Workload workload;
  workload.classes = {Class("a", GammaArrivals{2, 3})};
  const auto slow = Take(workload, 5, 200);
  const auto fast = Take(workload, 5, 200, 2);
  for (std::size_t i = 0; i < slow.size(); ++i) {
    EXPECT_EQ(slow[i].prompt_tokens, fast[i].prompt_tokens);
    EXPECT_NEAR(slow[i].at, 2 * fast[i].at, 1e-9);
  }
}

TEST(Workload, GapsHaveTheirRateAndVariation) {
  for (const double cv : {0.5, 1.0, 4.0}) {
    for (const Arrivals& arrivals :
         {Arrivals(GammaArrivals{10, cv}), Arrivals(WeibullArrivals{10, cv})}) {
      Workload workload;
      workload.classes = {Class("a", arrivals)};
      double sum = 0;
      double squares = 0;
      double last = 0;
      constexpr int kCount = 200'000;
      for (const WorkloadRequest& request : Take(workload, 3, kCount)) {
        const double gap = request.at - last;
        last = request.at;
        sum += gap;
        squares += gap * gap;
      }
      const double mean = sum / kCount;
      EXPECT_NEAR(mean, 0.1, 0.004);
      EXPECT_NEAR(std::sqrt(squares / kCount - mean * mean) / mean, cv, 0.07 * cv);
    }
  }
}

// At the same CV gamma gaps are much more often next to nothing.
TEST(Workload, WeibullIsNotGamma) {
  const auto tiny = [](Arrivals arrivals) {
    Workload workload;
    workload.classes = {Class("a", std::move(arrivals))};
    double last = 0;
    int count = 0;
    for (const WorkloadRequest& request : Take(workload, 3, 10'000)) {
      count += request.at - last < 1e-6;
      last = request.at;
    }
    return count;
  };
  EXPECT_GT(tiny(GammaArrivals{1, 4}), 2 * tiny(WeibullArrivals{1, 4}));
}

// Each seed begins somewhere else and sees every request once, in the trace's order around its end.
TEST(Workload, ReplayMayBeginAnywhere) {
  Trace trace;
  for (int i = 0; i < 100; ++i) trace.push_back({i * 2.0, {1 + i, 1}});
  Workload workload;
  workload.classes = {
      Class("a", ReplayArrivals{std::make_shared<Trace>(trace), 1, /*random_start=*/true})};
  workload.classes[0].lengths = TraceLengths{};
  std::set<Tokens> firsts;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto requests = Take(workload, seed, 1000);
    ASSERT_EQ(requests.size(), 100u);
    firsts.insert(requests[0].prompt_tokens);
    EXPECT_GE(requests[0].at, 0);
    EXPECT_LE(requests[0].at, 2);
    for (std::size_t i = 1; i < requests.size(); ++i) {
      EXPECT_EQ(requests[i].prompt_tokens, requests[i - 1].prompt_tokens % 100 + 1);
      EXPECT_NEAR(requests[i].at - requests[i - 1].at, 2, 1e-9) << "over the end, the mean gap";
    }
    EXPECT_EQ(requests, Take(workload, seed, 1000));
  }
  EXPECT_GT(firsts.size(), 15u);
}

TEST(Workload, RateChangesTakeEffectAtTheirTime) {
  Workload workload;
  workload.classes = {Class("a", PoissonArrivals{10})};
  workload.classes[0].rate_changes = {{100, 0}, {200, 3}, {300, 0}};
  int first = 0;
  int second = 0;
  for (const WorkloadRequest& request : Take(workload, 1, 1'000'000)) {
    EXPECT_TRUE(request.at <= 100 || (request.at >= 200 && request.at <= 300)) << request.at;
    ++(request.at <= 100 ? first : second);
  }
  EXPECT_NEAR(first, 1000, 100);
  EXPECT_NEAR(second, 3000, 200);
}

TEST(Workload, ReplayKeepsTimesAndLengthsAndEnds) {
  Workload workload;
  workload.classes = {Class(
      "a", ReplayArrivals{
               std::make_shared<Trace>(Trace{{0, {10, 20}}, {3, {30, 40}}, {4, {50, 60}}}), 2})};
  workload.classes[0].lengths = TraceLengths{};
  EXPECT_THAT(Take(workload, 1, 10),
              ::testing::ElementsAre(WorkloadRequest{0, 0, 10, 20}, WorkloadRequest{1.5, 0, 30, 40},
                                     WorkloadRequest{2, 0, 50, 60}));
}

TEST(Workload, ChatAndCodeIsWhatItsSummarySays) {
  const auto requests = Take(ChatAndCode(), 1, 22'000);
  EXPECT_NEAR(22'000 / requests.back().at, 11, 0.3);
  const auto code = OfClass(requests, 1);
  EXPECT_NEAR(static_cast<double>(code.size()), 8000, 250);
  for (const WorkloadRequest& request : code) {
    EXPECT_GE(request.prompt_tokens, 4000);
    EXPECT_LE(request.prompt_tokens, 4600);
    EXPECT_GE(request.output_tokens, 32);
    EXPECT_LE(request.output_tokens, 64);
  }
  double prompt = 0;
  double output = 0;
  const auto chat = OfClass(requests, 0);
  for (const WorkloadRequest& request : chat) {
    prompt += request.prompt_tokens;
    output += request.output_tokens;
  }
  EXPECT_NEAR(prompt / static_cast<double>(chat.size()), 299, 50);
  EXPECT_NEAR(output / static_cast<double>(chat.size()), 357, 15);
}

TEST(Workload, LogNormalHasItsMean) {
  Rng rng(1);
  const RequestLengths source =
      DistributedLengths{LogNormalTokens{500, 1.5, 1, 1'000'000}, FixedTokens{7}};
  double sum = 0;
  for (int i = 0; i < 200'000; ++i) {
    const RequestLength length = DrawLength(source, rng);
    sum += length.prompt_tokens;
    EXPECT_EQ(length.output_tokens, 7);
  }
  EXPECT_NEAR(sum / 200'000, 500, 10);
}

TEST(Workload, ErrorsNameTheClass) {
  const auto fault = [](const Workload& workload) {
    const auto checked = CheckWorkload(workload);
    return checked ? std::string("none") : checked.error().message;
  };
  EXPECT_THAT(fault({}), HasSubstr("no classes"));
  Workload workload;
  workload.classes = {Class("a", PoissonArrivals{0})};
  EXPECT_THAT(fault(workload), HasSubstr("class \"a\": the rate"));
  workload.classes = {Class("a", PoissonArrivals{1}), Class("a", PoissonArrivals{1})};
  EXPECT_THAT(fault(workload), HasSubstr("two classes are called \"a\""));
  workload.classes = {Class("a", PoissonArrivals{1})};
  workload.classes[0].lengths = TraceLengths{};
  EXPECT_THAT(fault(workload), HasSubstr("only where the arrivals do"));
  workload.classes[0].lengths = DistributedLengths{UniformTokens{9, 4}, FixedTokens{1}};
  EXPECT_THAT(fault(workload), HasSubstr("low 9 is above high 4"));
  workload.classes[0].lengths = EmpiricalLengths{};
  EXPECT_THAT(fault(workload), HasSubstr("no lengths"));
  EXPECT_EQ(fault(ChatAndCode()), "none");
}

}  // namespace
}  // namespace headrace::workload
