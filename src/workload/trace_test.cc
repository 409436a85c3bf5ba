#include "workload/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::workload {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
std::string FaultOf(const Result<T>& result) {
  return result ? "none" : result.error().message;
}

TEST(Trace, AzureRowsAreTimesOfDay) {
  auto trace = ParseTrace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
      "2023-11-16 23:59:59.5000000,4808,10\r\n"
      "2023-11-17 00:00:01.2500000,3180,0\r\n",
      "a.csv");
  ASSERT_TRUE(trace) << trace.error().message;
  ASSERT_EQ(trace->size(), 2u);
  BeginAtZero({&*trace, 1});
  EXPECT_EQ((*trace)[0], (TraceRow{0, {4808, 10}}));
  EXPECT_NEAR((*trace)[1].at, 1.75, 1e-6);
  EXPECT_EQ((*trace)[1].length, (RequestLength{3180, 1}));
}

TEST(Trace, MooncakeRowsAreSortedMilliseconds) {
  const auto trace = ParseTrace(
      "{\"timestamp\": 3000, \"input_length\": 7, \"output_length\": 8, \"hash_ids\": [1]}\n\n"
      "{\"timestamp\": 1000, \"input_length\": 5, \"output_length\": 6}\n",
      "m.jsonl");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_THAT(*trace, ElementsAre(TraceRow{1, {5, 6}}, TraceRow{3, {7, 8}}));
  EXPECT_DOUBLE_EQ(MeanRate(*trace), 0.5);
}

TEST(Trace, TracesOfOneClockBeginTogether) {
  std::vector<Trace> traces{{{1700, {1, 1}}}, {{1500, {2, 2}}, {1501, {3, 3}}}};
  BeginAtZero(traces);
  EXPECT_THAT(traces[0], ElementsAre(TraceRow{200, {1, 1}}));
  EXPECT_THAT(traces[1], ElementsAre(TraceRow{0, {2, 2}}, TraceRow{1, {3, 3}}));
}

TEST(Trace, ALineThatWasCutOffAtTheEndIsIgnored) {
  const std::string line = R"({"timestamp": 5, "input_length": 900, "output_length": 8})";
  const auto trace = ParseTrace(line + "\n" + line.substr(0, 30), "m.jsonl");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->size(), 1);
  EXPECT_THAT(FaultOf(ParseTrace(line.substr(0, 30) + "\n" + line, "m.jsonl")),
              HasSubstr("m.jsonl:1: the line is not a JSON object; write"));
}

TEST(Trace, ErrorsNameFileLineAndFix) {
  EXPECT_THAT(FaultOf(ParseTrace("", "t.csv")), HasSubstr("t.csv: the file is empty"));
  EXPECT_THAT(FaultOf(ParseTrace("a,b\n1,2\n", "t.csv")),
              HasSubstr("t.csv:1: the first line must"));
  const std::string head = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  EXPECT_THAT(FaultOf(ParseTrace(head, "t.csv")), HasSubstr("no requests"));
  EXPECT_THAT(FaultOf(ParseTrace(head + "yesterday,1,2\n", "t.csv")),
              HasSubstr("t.csv:2: \"yesterday\" is not a time"));
  EXPECT_THAT(FaultOf(ParseTrace(head + "2023-13-16 18:17:03,1,2\n", "t.csv")),
              HasSubstr("is not a time"));
  EXPECT_THAT(FaultOf(ParseTrace(head + "2023-11-16 18:17:03,1\n", "t.csv")),
              HasSubstr("t.csv:2: the row has 2 cells"));
  EXPECT_THAT(FaultOf(ParseTrace(head + "2023-11-16 18:17:03,-1,2\n", "t.csv")),
              HasSubstr("\"-1\" is not a number of tokens"));
  EXPECT_THAT(FaultOf(ParseTrace("{}", "m.jsonl")), HasSubstr("m.jsonl:1: \"timestamp\""));
  EXPECT_THAT(FaultOf(ParseTrace("{\"timestamp\"", "m.jsonl")), HasSubstr("not a JSON object"));
  EXPECT_THAT(FaultOf(ParseLengthCsv("prompt_tokens,output_tokens\n1,x\n", "l.csv")),
              HasSubstr("l.csv:2: \"x\" is not a number"));
}

TEST(Trace, NumbersHaveRanges) {
  const auto row = [](std::string_view at, std::string_view input, std::string_view output) {
    const std::string text = "{\"timestamp\": " + std::string(at) +
                             ", \"input_length\": " + std::string(input) +
                             ", \"output_length\": " + std::string(output) + "}\n";
    return ParseTrace(text + "{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1}\n",
                      "t.jsonl");
  };
  EXPECT_TRUE(row("1", "16777216", "0"));
  for (const std::string_view number : {"-1", "16777217", "2147483648", "1e308", "null"}) {
    EXPECT_FALSE(row("1", number, "1")) << number;
    EXPECT_FALSE(row("1", "1", number)) << number;
  }
  EXPECT_FALSE(row("1e15", "1", "1")) << "31,000 years";
  EXPECT_FALSE(
      ParseTrace("TIMESTAMP,ContextTokens,GeneratedTokens\n"
                 "2023-11-16 18:17:03.97,2147483647,10\n",
                 "t.csv"));
}

}  // namespace
}  // namespace headrace::workload
