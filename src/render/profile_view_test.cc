#include "render/profile_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "profile/check.h"

namespace headrace::render {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// 2 output × 3 input buckets with a zero and a hole.
profile::GpuProfile Profile(const std::string& deployment, double cost = 1) {
  profile::GpuProfile profile;
  profile.deployment = deployment;
  profile.cost = cost;
  profile.created = 1748888478;
  profile.outputs = profile::BucketAxis({16, 256});
  profile.inputs = profile::BucketAxis({128, 512, 2048});
  profile.tput = profile::BucketMatrix(2, 3, 4);
  profile.tput.at(0, 0) = 62.4770592;
  profile.tput.at(1, 2) = 0;
  profile.e2e = profile::BucketMatrix(2, 3, 2);
  profile.e2e->at(1, 2) = NAN;
  profile.slo.e2e = 4;
  return profile;
}

std::size_t Count(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(Headroom, IsTheUnusedShareOfTheFirstSloThatIsSet) {
  profile::GpuProfile profile = Profile("a10");
  const profile::ProfileCell cell{1, 1};  // 256 output, 512 input tokens; E2E 2 s.
  EXPECT_DOUBLE_EQ(Headroom(profile, cell), 0.5);
  profile.slo.e2e = 1;
  EXPECT_DOUBLE_EQ(Headroom(profile, cell), -1);
  profile.slo.tpat = 4.0 / 768;
  EXPECT_DOUBLE_EQ(Headroom(profile, cell), 0.5);
  profile.slo.ttft = 1;
  EXPECT_TRUE(std::isnan(Headroom(profile, cell)));  // No `ttft` in the profile.
  profile.ttft = profile::BucketMatrix(2, 3, 0.25);
  EXPECT_DOUBLE_EQ(Headroom(profile, cell), 0.75);
  profile.slo.tpot = 7.0 / 256;
  EXPECT_DOUBLE_EQ(Headroom(profile, cell), 0.75);  // 2 s of 7 + 1.
  EXPECT_TRUE(std::isnan(Headroom(profile, {1, 2})));
  profile.slo = {};
  EXPECT_TRUE(std::isnan(Headroom(profile, cell)));
}

TEST(Headroom, IsOfThePercentileWhereThereIsOne) {
  profile::GpuProfile profile = Profile("a10");
  profile.slo.percentile = 99;
  EXPECT_DOUBLE_EQ(Headroom(profile, {0, 0}), 0.5);
  profile.detail.e2e_p99 = profile::BucketMatrix(2, 3, 3);
  EXPECT_DOUBLE_EQ(Headroom(profile, {0, 0}), 0.25);
}

TEST(RenderText, ShowsEveryCellAndItsUnit) {
  const ProfileView views[] = {{Profile("a10"), "profiles/a10.json", {}}};
  EXPECT_EQ(RenderText(views, {}),
            R"(a10  cost 1  SLO e2e 4 s (mean)  created 2025-06-02 18:21 UTC  profiles/a10.json

Throughput within the SLO, req/s
The highest request rate at which one GPU meets the SLO; 0 = none.
out \ in     128     512    2048
     16    62.5       4       4
    256       4       4       0

Mean E2E, seconds
From arrival to the last token, at that rate.
out \ in     128     512    2048
     16       2       2       2
    256       2       2       —

Headroom to the SLO, % of the target
How much of the target time is left at that rate; below 0 the SLO is missed.
out \ in     128     512    2048
     16   +50 %   +50 %   +50 %
    256   +50 %   +50 %       —
)");
}

TEST(RenderText, PutsProfilesSideBySideWhereTheyFit) {
  const ProfileView views[] = {{Profile("a10", 1), "a", {}}, {Profile("l20", 2), "b", {}}};
  const std::string wide = RenderText(views, {.color = false, .width = 100});
  EXPECT_THAT(wide, HasSubstr("a10                                l20\n"));
  EXPECT_THAT(wide, HasSubstr("Throughput per unit of cost"));
  EXPECT_THAT(wide,
              HasSubstr("     16    62.5       4       4         16    31.2       2       2\n"));
  const std::string narrow = RenderText(views, {.color = false, .width = 40});
  EXPECT_THAT(narrow, Not(HasSubstr("a10                                l20")));
  EXPECT_THAT(narrow, HasSubstr("\nl20\n"));
}

TEST(RenderText, ColoursOnlyWhenAsked) {
  const ProfileView views[] = {{Profile("a10"), "a", {{{}, {}, "a: odd."}}}};
  EXPECT_THAT(RenderText(views, {}), Not(HasSubstr("\x1b")));
  const std::string text = RenderText(views, {.color = true, .width = 100});
  EXPECT_EQ(Count(text, "\x1b[48;5;"), 18U);
  EXPECT_THAT(text, HasSubstr("a: odd."));
}

TEST(RenderHtml, IsOnePageWithAMapPerPanelAndProfile) {
  profile::GpuProfile other = Profile("l20<b>&\"");
  other.e2e.reset();
  other.detail.samples = profile::BucketMatrix(2, 3, 100);
  const ProfileView views[] = {
      {Profile("a10"), "a.json", {{profile::ProfileFault::Severity::kError, {}, "a.json: <odd>."}}},
      {other, "b.json", {}}};
  const std::string html = RenderHtml(views);
  EXPECT_EQ(Count(html, "<svg "), 3U + 1 + 3);  // l20 lacks the E2E panel.
  EXPECT_EQ(Count(html, "<section>"), Count(html, "</section>"));
  EXPECT_EQ(Count(html, "<g>"), Count(html, "</g>"));
  EXPECT_THAT(html, HasSubstr("not in this profile"));
  EXPECT_THAT(html, HasSubstr("l20&lt;b&gt;&amp;&quot;"));
  EXPECT_THAT(html, HasSubstr("a.json: &lt;odd&gt;."));
  EXPECT_THAT(html, HasSubstr("requests measured: 100"));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme:dark"));
  for (const char* outside : {"<script", "http://", "https://", "l20<b>"}) {
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  }
}

}  // namespace
}  // namespace headrace::render
