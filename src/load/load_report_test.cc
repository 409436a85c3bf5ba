#include "load/load_report.h"

#include <gmock/gmock.h>

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace headrace::load {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

workload::WorkloadClass Chat() {
  return {.name = "chat",
          .arrivals = workload::PoissonArrivals{1},
          .lengths =
              workload::DistributedLengths{workload::FixedTokens{100}, workload::FixedTokens{10}},
          .slo = std::nullopt,
          .rate_changes = {}};
}

AskedAndGot Lengths(std::initializer_list<std::pair<Tokens, Tokens>> pairs) {
  AskedAndGot lengths;
  for (const auto& [asked, got] : pairs) lengths.Add(asked, got);
  return lengths;
}

TEST(LoadWarnings, OtherLengthsThanAskedForAreSaid) {
  workload::Workload workload;
  workload.classes = {Chat()};
  LoadOptions options;
  options.workload = &workload;
  LoadSnapshot snapshot;
  snapshot.classes.resize(1);
  snapshot.deployments.resize(1);
  LoadCounts& chat = snapshot.classes[0];
  chat.prompt = Lengths({{100, 104}, {100, 100}});
  chat.output = Lengths({{10, 10}});
  EXPECT_THAT(LoadWarnings(options, snapshot), IsEmpty());
  chat.prompt = Lengths({{100, 131}});
  // As many tokens in all, and every answer off.
  chat.output = Lengths({{10, 5}, {10, 15}});
  chat.cached_prompt_tokens = 66;
  const auto warnings = LoadWarnings(options, snapshot);
  ASSERT_EQ(warnings.size(), 3u);
  EXPECT_THAT(warnings[0], HasSubstr("Class chat: prompts had 131.0 % of the tokens asked for"));
  EXPECT_THAT(warnings[1], HasSubstr("answers had 100.0 % of the tokens asked for"));
  EXPECT_THAT(warnings[1], HasSubstr("off by 50.0 % in the mean"));
  EXPECT_THAT(warnings[1], HasSubstr("--max-tokens"));
  EXPECT_THAT(warnings[2], HasSubstr("50.4 % of the prompt tokens came from the engine's cache"));
  const auto json =
      nlohmann::json::parse(LoadReportJson(std::vector<LoadStage>{{options, snapshot}}));
  EXPECT_EQ(json["warnings"].size(), 3u);
  EXPECT_EQ(json["classes"]["chat"]["asked"]["prompt_tokens"]["got"], 131);
  EXPECT_DOUBLE_EQ(json["classes"]["chat"]["asked"]["output_tokens"]["off"], 0.5);
  EXPECT_EQ(json["classes"]["chat"]["asked"]["cached_prompt_tokens"], 66);
}

TEST(LoadWarnings, WholeAnswersToRequestsForStreamsAreSaid) {
  workload::Workload workload;
  workload.classes = {Chat()};
  LoadOptions options;
  options.workload = &workload;
  LoadSnapshot snapshot;
  snapshot.classes.resize(1);
  snapshot.deployments.resize(1);
  snapshot.classes[0].report.Complete(
      {.ttft = {}, .e2e = 1, .prompt_tokens = 1, .output_tokens = 2}, std::nullopt, false);
  EXPECT_THAT(LoadWarnings(options, snapshot),
              Contains(HasSubstr("1 of 1 answers came as a whole")));
  options.stream = false;
  EXPECT_THAT(LoadWarnings(options, snapshot), IsEmpty()) << "it was asked for";
  workload.classes[0].slo = slo::Slo{.ttft = 1, .e2e = 9};
  EXPECT_THAT(LoadWarnings(options, snapshot), Contains(HasSubstr("meet no promise of them")));
}

TEST(LoadWarnings, AClientThatCannotKeepUpIsNamed) {
  workload::Workload workload;
  LoadOptions options;
  options.workload = &workload;
  LoadSnapshot snapshot;
  snapshot.send_lag.AddMany(0.0001, 1000);
  EXPECT_THAT(LoadWarnings(options, snapshot), IsEmpty());
  snapshot.send_lag.AddMany(0.1, 20);
  EXPECT_THAT(LoadWarnings(options, snapshot), Contains(HasSubstr("The client could not keep up")));
}

}  // namespace
}  // namespace headrace::load
