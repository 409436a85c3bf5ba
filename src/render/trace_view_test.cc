#include "render/trace_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "render/columns.h"
#include "render/table.h"

namespace headrace::render {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TraceView ViewOf(bool timed) {
  workload::RequestFile file{.format = "CSV", .rows = {}, .timed = timed, .notes = {}};
  for (int i = 0; i < 101; ++i) file.rows.push_back({timed ? i * 0.6 : 0, {10 + i, 5}});
  return {.name = "<mine>.csv",
          .format = "CSV",
          .summary = workload::Summarize(file),
          .notes = {"3 of 104 requests are left out"}};
}

std::size_t WidestLine(const std::string& text) {
  std::size_t widest = 0;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = text.find('\n', from);
    widest = std::max(widest, DisplayWidth(text.substr(from, end - from)));
    from = end + 1;
  }
  return widest;
}

TEST(Columns, FitTheTerminalAndKeepTheHighest) {
  std::vector<double> values(120, 2.0);
  values[60] = 8;
  const std::string text = RenderText({.values = values, .begin = "0", .end = "1 h"}, 200);
  EXPECT_THAT(text, AllOf(HasSubstr("8 │"), HasSubstr("1 h\n")));
  EXPECT_LE(WidestLine(RenderText({.values = values, .begin = "0", .end = "1 h"}, 60)), 60);
  EXPECT_EQ(RenderText({.values = {}, .begin = "", .end = ""}, 60), "");
}

TEST(TraceView, TellsRateBurstsLengthsAndWhatIsLeftOut) {
  const std::string text = RenderText(ViewOf(true), 80);
  EXPECT_THAT(text,
              AllOf(HasSubstr("101 requests in 60 s: 1.67/s, CV of the gaps 0.00"),
                    HasSubstr("3 of 104 requests are left out"), HasSubstr("Requests per second"),
                    HasSubstr("Windows of"), HasSubstr("prompt    60"), HasSubstr("64–127")));
  EXPECT_LE(WidestLine(text), 80);
  EXPECT_THAT(RenderText(ViewOf(false), 80),
              AllOf(HasSubstr("101 requests, without times"), Not(HasSubstr("Windows of"))));
}

TEST(TraceView, RequestsAtOneTimeHaveTimesAndNoRate) {
  workload::RequestFile file{
      .format = "CSV", .rows = {{5, {10, 3}}, {5, {10, 3}}}, .timed = true, .notes = {}};
  const auto text = [&file] {
    return RenderText(
        TraceView{.name = "t", .format = "CSV", .summary = workload::Summarize(file), .notes = {}},
        80);
  };
  EXPECT_THAT(text(), AllOf(HasSubstr("2 requests, all at one time\n"),
                            Not(HasSubstr("Requests per second"))));
  file.rows.pop_back();
  EXPECT_THAT(text(), HasSubstr("CSV\n1 request\n"));
}

TEST(TraceView, ThePageHasTheSamePlots) {
  EXPECT_THAT(RenderHtml(ViewOf(true)),
              AllOf(HasSubstr("<h1>&lt;mine&gt;.csv</h1>"), HasSubstr("Requests per second"),
                    HasSubstr("Requests of at most so many tokens"),
                    HasSubstr("3 of 104 requests are left out")));
}

}  // namespace
}  // namespace headrace::render
