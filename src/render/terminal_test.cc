#include "render/terminal.h"

#include <gmock/gmock.h>

namespace headrace::render {
namespace {

using testing::ElementsAre;

TEST(Terminal, GetsNoControlCharacters) {
  EXPECT_EQ(Printable("a\x1b[2Jb\n\x7F\xC2\x9B\xFF"
                      "µ"),
            "a?[2Jb????µ");
}

TEST(Terminal, TextIsBrokenAtBlanks) {
  EXPECT_THAT(Wrap("one two  three four", 9), ElementsAre("one two", "three", "four"));
  EXPECT_THAT(Wrap("a-long-word b", 6), ElementsAre("a-lon…", "b"));
}

TEST(Terminal, ClockTimesAreOfUtc) {
  EXPECT_EQ(ClockTime(0), "00:00:00");
  EXPECT_EQ(ClockTime(1748888478.9), "18:21:18");
}

TEST(FittedTable, CutsThenLeavesOutWhatItMay) {
  const FittedTable table{
      {{"NAME", Align::kLeft, 0, 6}, {"N", Align::kRight}, {"NOTE", Align::kLeft, 1, 5}},
      {{{"something"}, {"7"}, {"long enough"}}, {{"b"}, {"12"}}}};
  EXPECT_THAT(RenderLines(table, {.width = 80}),
              ElementsAre("NAME        N  NOTE", "something   7  long enough", "b          12"));
  EXPECT_THAT(RenderLines(table, {.width = 20}),
              ElementsAre("NAME      N  NOTE", "someth…   7  long e…", "b        12"));
  EXPECT_THAT(RenderLines(table, {.width = 10}),
              ElementsAre("NAME     N", "somet…   7", "b       12"));
}

TEST(FittedTable, ColoursTakeNoColumns) {
  const FittedTable table{{{"A"}, {"B"}}, {{{"x", Ink::kBad}, {"y"}}}};
  EXPECT_THAT(RenderLines(table, {.color = true}),
              ElementsAre("\x1b[2mA\x1b[0m  \x1b[2mB\x1b[0m", "\x1b[31mx\x1b[0m  y"));
}

// A column in which there is nothing says nothing.
TEST(FittedTable, EmptyColumnsAreLeftOut) {
  const FittedTable table{{{"A"}, {"EMPTY"}, {"B"}}, {{{"x"}, {""}, {"y"}}}};
  EXPECT_THAT(RenderLines(table, {}), ElementsAre("A  B", "x  y"));
}

}  // namespace
}  // namespace headrace::render
