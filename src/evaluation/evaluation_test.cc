#include "evaluation/evaluation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

namespace headrace::evaluation {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kTiny = R"(name: Tiny
about: "A small one"
model: llama2-7b
max_model_len: 8192
slo: { tpat: 50ms, percentile: 99 }
warm_up: 5s
duration: 30s
seeds: 2
rates: [0.5, 1]
policies: [slo-headroom, slo, slo-pack-load, least-request, best-split]
fleet:
  - { name: a10, gpu: a10, profile: none }
  - { name: l20, gpu: l20, profile: none }
faults:
  - { at: 15s, kind: slow, deployment: l20, factor: 2 }
workload:
  - { name: chat, rate: 1, lengths: sharegpt }
  - { name: code, rate: 1, prompt: 4000, output: 32 }
)";

Result<EvaluationPage> Fill(std::string_view text) {
  Evaluation evaluation(
      "scenarios",
      [](const std::string& path) -> Result<std::string> {
        if (path == "scenarios/tiny.yaml") return std::string(kTiny);
        return Fail(path + ": cannot be read; check the path");
      },
      1, [](const std::string&) {});
  return evaluation.Fill(text, "page", "figures");
}

TEST(Evaluation, FillsEveryDirectiveAndKeepsTheProse) {
  const auto page = Fill(
      "# Title\n{{about tiny}}\n{{attainment tiny}}\n{{p99 tiny}}\n{{splits tiny}}\n"
      "{{ladder tiny}}\n{{ends tiny 1}}\n{{worst tiny}}\n{{scenarios tiny tiny}}\n"
      "{{compare tiny}}\n{{published tiny tiny}}\n{{figure tiny cdf-1.svg The CDF}}\n{{order}}\n"
      "The end.\n");
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_TRUE(page->markdown.starts_with("# Title\nA small one."));
  EXPECT_TRUE(page->markdown.ends_with("The end.\n"));
  EXPECT_THAT(page->markdown, Not(HasSubstr("{{")));
  EXPECT_THAT(page->markdown, HasSubstr("| least-request | "));
  EXPECT_THAT(page->markdown, HasSubstr("| best-split | 0.5 | chat: "));
  EXPECT_THAT(page->markdown, HasSubstr("![The CDF](figures/tiny-cdf-1.svg)"));
  EXPECT_THAT(page->markdown, HasSubstr("| tiny | 1 | "));
  EXPECT_THAT(page->markdown, HasSubstr("| least-request | code | 100.0 | 0.0 | 0.0 | 0.0 |"));
  EXPECT_THAT(page->markdown, HasSubstr("| tiny | A small one | rate × "));
  EXPECT_THAT(page->markdown,
              HasSubstr("| attainment, % | rate × | slo-headroom | slo | slo-pack-load | "
                        "least-request | best-split | slo-headroom against the best "
                        "other |"));
  EXPECT_EQ(page->figures.size(), 1u);
}

TEST(Evaluation, ShowsWhatIsRequiredAndMarksWhatFails) {
  const auto page = Fill(
      "{{bars duration=20s tiny:1:0.1 tiny+seeds=1:0.5:100}}\n{{margins seeds=1 tiny}}\n"
      "{{relearn tiny:1}}\n{{forecasts tiny}}\n{{misses tiny}}\n{{beside tiny "
      "tiny+seeds=1}}\n{{goodput tiny+seeds=1+rates=[0.5]}}\n");
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_THAT(page->markdown, HasSubstr("| tiny | 1 | 0.1 | "));
  EXPECT_THAT(page->markdown, HasSubstr("] | yes | "));
  EXPECT_THAT(page->markdown, HasSubstr("% of the best baseline"));
  EXPECT_THAT(page->markdown, HasSubstr("More than a point below another router: 0 of 2 rows."));
  EXPECT_THAT(page->markdown, HasSubstr("| +0.0 [0.0 to 0.0] |"));
  EXPECT_THAT(page->markdown, HasSubstr("| before | "));
  EXPECT_THAT(page->markdown, HasSubstr("| from 180 | – | – | 0 |"));
  EXPECT_THAT(page->markdown, HasSubstr("TTFT P50"));
  EXPECT_THAT(page->markdown, HasSubstr("missed, %"));
  EXPECT_THAT(page->markdown, HasSubstr("| × the best split in hindsight | "));
}

TEST(Evaluation, ShowsWhatEachIdeaAndEachConstantIsWorth) {
  const auto page =
      Fill("{{ablation seeds=1 tiny:1 tiny:0.5}}\n{{sensitivity duration=10s+seeds=1 tiny:1}}\n");
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_THAT(page->markdown, HasSubstr("| without … | tiny × 1 | tiny × 0.5 |"));
  EXPECT_THAT(page->markdown, HasSubstr("| nobody gives up | "));
  EXPECT_THAT(page->markdown, HasSubstr("| harm_weight 1 | "));
  EXPECT_EQ(ConstantNames().size() * sizeof(double), sizeof(fleet::HeadroomConstants))
      << "a constant has no name";
}

TEST(Evaluation, KeepsWhatIsDoneWhenItIsStopped) {
  std::atomic<bool> stop = false;
  Evaluation evaluation(
      "scenarios", [](const std::string&) -> Result<std::string> { return std::string(kTiny); }, 1,
      [&stop](const std::string& scenario) { stop = stop || scenario == "other"; }, &stop);
  const auto page =
      evaluation.Fill("# Title\n{{p99 tiny}}\n{{p99 other}}\nBetween.\n{{p99 tiny}}\n{{colour}}\n",
                      "page", "figures");
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_THAT(page->markdown, HasSubstr("| slo-headroom | "));
  EXPECT_TRUE(page->markdown.ends_with("\n{{p99 other}}\nBetween.\n{{p99 tiny}}\n{{colour}}\n"))
      << page->markdown;
  EXPECT_EQ(page->left, 3u);
  const auto later = evaluation.Fill("{{goodput tiny}}\n", "later", "figures");
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_EQ(later->markdown, "{{goodput tiny}}\n");
}

TEST(Evaluation, FaultsNameTheLine) {
  const auto fault = [](std::string_view text) {
    const auto page = Fill(text);
    return page ? std::string("none") : page.error().message;
  };
  EXPECT_THAT(fault("x\n{{p99 huge}}\n"), HasSubstr("page:2: scenarios/huge.yaml: cannot be read"));
  EXPECT_THAT(fault("{{p98 tiny}}\n"), HasSubstr("page:1: there is no directive \"p98\""));
  EXPECT_THAT(fault("{{ends tiny 7}}\n"), HasSubstr("has no rate 7; choose one of its rates"));
  EXPECT_THAT(fault("{{bars tiny:7:50}}\n"), HasSubstr("has no rate 7; choose one of its rates"));
  EXPECT_THAT(fault("{{p99 tiny+colour=red}}\n"), HasSubstr("colour"));
  EXPECT_THAT(fault("{{figure tiny x.svg X}}\n"), HasSubstr("there is no figure \"x.svg\""));
}

}  // namespace
}  // namespace headrace::evaluation
