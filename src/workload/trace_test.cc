#include "workload/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace headrace::workload {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Rows as in the documentation of each format.
constexpr std::string_view kAzure2023 =
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 23:59:59.5000000,4808,10\r\n"
    "2023-11-17 00:00:01.2500000,3180,8\r\n";
constexpr std::string_view kAzure2024 =
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 00:00:00.009930+00:00,2162,5\n"
    "2024-05-10 00:00:01.009930+00:00,2399,6\n";
constexpr std::string_view kBurstGpt =
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n"
    "45,ChatGPT,1087,230,1317,Conversation log\n"
    "118,GPT-4,417,0,417,Conversation log\n";
constexpr std::string_view kMooncake =
    "{\"timestamp\": 3000, \"input_length\": 7, \"output_length\": 8, \"hash_ids\": [1]}\n\n"
    "{\"timestamp\": 1000, \"input_length\": 5, \"output_length\": 6}\n";
constexpr std::string_view kVllm =
    R"({"date": "20251101-101010", "model_id": "m", "num_prompts": 3, "request_rate": 2.0,
        "duration": 3.5, "completed": 2, "total_input_tokens": 30, "total_output_tokens": 9,
        "request_throughput": 0.6, "input_lens": [10, 20, 30], "output_lens": [4, 5, 0],
        "ttfts": [0.1, 0.2, 0.0], "itls": [[0.01, 0.01, 0.01], [0.02], []],
        "start_times": [100.5, 102.0, 103.0], "generated_texts": ["a", "b", ""],
        "errors": ["", "", "refused"]})";
constexpr std::string_view kGuidellm = R"({
  "metadata": {"version": 1},
  "benchmarks": [
    {"requests": {"successful": [
       {"request_id": "1", "output": "text", "request_start_time": 1759813207.5,
        "request_latency": 0.5, "prompt_tokens": 128, "output_tokens": 64}],
      "incomplete": [], "errored": [{"request_start_time": 1759813208.5, "prompt_tokens": 5}]}},
    {"requests": {"successful": [
       {"start_time": 1759813209.5, "end_time": 1759813210, "prompt_tokens": 130,
        "output_tokens": 60}]}}]})";
constexpr std::string_view kAiperf =
    R"({"metadata": {"request_start_ns": 1759813207500000000, "benchmark_phase": "profiling"},)"
    R"( "metrics": {"input_sequence_length": {"value": 550, "unit": "tokens"},)"
    R"( "output_sequence_length": {"value": 9, "unit": "tokens"}}, "error": null})"
    "\n"
    R"({"metadata": {"request_start_ns": 1759813209500000000},)"
    R"( "metrics": {"error_isl": {"value": 550, "unit": "tokens"}}, "error": {"code": 499}})"
    "\n";
constexpr std::string_view kShareGpt = R"([
  {"id": "a", "conversations": [{"from": "human", "value": "twelve bytes"},
                                {"from": "gpt", "value": "four"},
                                {"from": "human", "value": "and then?"}]},
  {"id": "b", "conversations": [{"from": "human", "value": "no answer"}]}])";

template <typename T>
std::string FaultOf(const Result<T>& result) {
  return result ? "none" : result.error().message;
}

// The rows, from 0 on.
Trace RowsOf(std::string_view text, std::optional<Seconds> unit = std::nullopt) {
  auto file = ReadTrace(text, "t", unit);
  EXPECT_TRUE(file) << file.error().message;
  if (!file) return {};
  BeginAtZero({&file->rows, 1});
  return file->rows;
}
Trace CsvOf(std::string_view header, std::string_view first, std::string_view second,
            std::optional<Seconds> unit = std::nullopt) {
  return RowsOf(std::string(header) + "\n" + std::string(first) + "\n" + std::string(second) + "\n",
                unit);
}
std::string FaultOfCell(std::string_view time, std::string_view column = "arrival") {
  return FaultOf(ReadTrace(
      std::string(column) + ",prompt_tokens,output_tokens\n\"" + std::string(time) + "\",5,6\n",
      "t.csv"));
}

TEST(Trace, AzuresTimesAreDatesWithOrWithoutAZone) {
  const Trace of_2023 = RowsOf(kAzure2023);
  ASSERT_EQ(of_2023.size(), 2u);
  EXPECT_EQ(of_2023[0], (TraceRow{0, {4808, 10}}));
  EXPECT_NEAR(of_2023[1].at, 1.75, 1e-6);
  EXPECT_EQ(of_2023[1].length, (RequestLength{3180, 8}));
  const Trace of_2024 = RowsOf(kAzure2024);
  EXPECT_NEAR(of_2024[1].at, 1, 1e-6);
  EXPECT_EQ(ReadTrace(kAzure2024, "t")->format, "Azure's CSV");
}

TEST(Trace, BurstGptsTimesAreSecondsAndItsFailuresAreLeftOut) {
  EXPECT_THAT(RowsOf(kBurstGpt), ElementsAre(TraceRow{0, {472, 18}}, TraceRow{40, {1087, 230}}));
  const auto file = ReadTrace(kBurstGpt, "b.csv");
  EXPECT_EQ(file->format, "BurstGPT's CSV");
  EXPECT_THAT(file->notes, ElementsAre("b.csv: 1 of 3 requests have no prompt or no output tokens "
                                       "and are left out"));
}

TEST(Trace, MooncakesRowsAreSortedMilliseconds) {
  const auto file = ReadTrace(kMooncake, "m.jsonl");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_THAT(file->rows, ElementsAre(TraceRow{1, {5, 6}}, TraceRow{3, {7, 8}}));
  EXPECT_DOUBLE_EQ(MeanRate(file->rows), 0.5);
  EXPECT_THAT(file->notes, IsEmpty());
}

TEST(Trace, ResultsOfBenchmarksAreReadWhereTheyListTheirRequests) {
  EXPECT_THAT(RowsOf(kVllm), ElementsAre(TraceRow{0, {10, 4}}, TraceRow{1.5, {20, 5}}));
  EXPECT_THAT(ReadTrace(kVllm, "v.json")->notes, ElementsAre(HasSubstr("1 of 3 requests")));
  EXPECT_THAT(RowsOf(kGuidellm), ElementsAre(TraceRow{0, {128, 64}}, TraceRow{2, {130, 60}}));
  EXPECT_THAT(RowsOf(kAiperf), ElementsAre(TraceRow{0, {550, 9}}));
  EXPECT_THAT(ReadTrace(kAiperf, "a.jsonl")->notes, ElementsAre(HasSubstr("1 of 2 requests")));
  EXPECT_THAT(FaultOf(ReadTrace(R"({"request_throughput": 1, "total_input_tokens": 5})", "v.json")),
              HasSubstr("v.json: the result of `vllm bench serve` does not list its requests; run "
                        "it with --save-result --save-detailed"));
  EXPECT_THAT(FaultOf(ReadTrace(R"({"input_config": {}, "request_latency": {}})", "a.json")),
              HasSubstr("name its profile_export.jsonl"));
}

TEST(Trace, TimesThatOnlySomeResultsHaveAreRefused) {
  const std::string result =
      R"({"request_throughput": 1, "total_input_tokens": 9, "input_lens": [9], "output_lens": [3])";
  const std::string timed = result + R"(, "start_times": [1000.5]})" + "\n";
  EXPECT_THAT(FaultOf(ReadTrace(result + "}\n" + timed, "v.jsonl")),
              HasSubstr("v.jsonl: only 1 of its 2 requests have times"));
  EXPECT_THAT(FaultOf(ReadTrace(timed + result + "}\n", "v.jsonl")),
              HasSubstr("v.jsonl: only 1 of its 2 requests have times"));
}

TEST(Trace, LengthsComeWithoutTimesToo) {
  const auto text = ReadRequests(kShareGpt, "s.json");
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_FALSE(text->timed);
  EXPECT_THAT(LengthsOf(text->rows), ElementsAre(RequestLength{3, 1}));
  EXPECT_THAT(text->notes, ElementsAre(HasSubstr("1 of 2 requests"),
                                       HasSubstr("estimated from the texts, at 4 bytes a token")));
  EXPECT_THAT(FaultOf(ReadTrace(kShareGpt, "s.json")),
              HasSubstr("s.json: it has lengths but no times (conversations)"));
  const auto lengths = ReadLengths(R"([{"prompt_len": 9, "output_len": 4, "prompt": "x"}])", "l");
  ASSERT_TRUE(lengths) << lengths.error().message;
  EXPECT_THAT(LengthsOf(lengths->rows), ElementsAre(RequestLength{9, 4}));
  EXPECT_TRUE(ReadLengths("timestamp,prompt_tokens,output_tokens\n1,2,3\n", "l"))
      << "nobody asks for the unit of its times";
}

TEST(Trace, ColumnsMayBeInAnyOrderAndQuoted) {
  EXPECT_THAT(CsvOf("user,\"Output Tokens\",\"arrival (ms)\",prompt-tokens",
                    "\"Doe, J.\",\"7\",\"1500\",3", "x,8,\"2000\",\"4.0\""),
              ElementsAre(TraceRow{0, {3, 7}}, TraceRow{0.5, {4, 8}}));
  EXPECT_THAT(FaultOf(ReadTrace("arrival_s,prompt_tokens,input_tokens,output_tokens\n", "t.csv")),
              HasSubstr("t.csv:1: of the columns both \"prompt_tokens\" and \"input_tokens\" may "
                        "be the prompts' tokens; rename or remove one"));
  EXPECT_THAT(FaultOf(ReadTrace("arrival_s,prompt_tokens\n", "t.csv")),
              HasSubstr("call one \"output_tokens\""));
}

TEST(Trace, TheUnitOfANumberIsToldOrAskedForButNeverGuessed) {
  const auto gap = [](std::string_view column, std::string_view first, std::string_view second,
                      std::optional<Seconds> unit = std::nullopt) {
    const Trace trace = CsvOf(std::string(column) + ",prompt_tokens,output_tokens",
                              std::string(first) + ",1,1", std::string(second) + ",1,1", unit);
    return trace.size() == 2 ? trace[1].at : -1;
  };
  EXPECT_NEAR(gap("arrival_s", "0.25", "2.25"), 2, 1e-9);
  EXPECT_NEAR(gap("time_ms", "1700000000250", "1700000002250"), 2, 1e-6);
  EXPECT_NEAR(gap("start_ns", "1759813207500000000", "1759813209500000000"), 2, 1e-6);
  EXPECT_NEAR(gap("timestamp", "250", "2250", 1e-3), 2, 1e-9);
  EXPECT_NEAR(gap("timestamp", "1700000000", "1700000002", 1), 2, 1e-9);
  EXPECT_THAT(FaultOfCell("1700000000"),
              HasSubstr("t.csv:2: the unit of the numbers under \"arrival\" is not known; call it "
                        "\"arrival_s\" or \"arrival_ms\", or give the time unit"));
  EXPECT_THAT(FaultOf(ReadTrace("arrival_s,prompt_tokens,output_tokens\n1,1,1\n", "t.csv", 1e-3)),
              HasSubstr("another unit than the one asked for"));
}

TEST(Trace, ZonesCount) {
  const Trace trace = CsvOf("arrival,prompt_tokens,output_tokens", "2024-05-10T02:00:00+02:00,1,1",
                            "2024-05-09T19:00:02.5-05:00,2,2");
  ASSERT_EQ(trace.size(), 2u);
  EXPECT_NEAR(trace[1].at, 2.5, 1e-6);
  EXPECT_THAT(CsvOf("arrival,prompt_tokens,output_tokens", "2024-05-10 00:00Z,1,1",
                    "2024-05-10 00:00:01 UTC,2,2")[1]
                  .at,
              1);
  EXPECT_THAT(FaultOf(ReadTrace("arrival,prompt_tokens,output_tokens\n"
                                "2024-05-10 00:00:00,1,1\n2024-05-10 00:00:00Z,1,1\n",
                                "t.csv")),
              HasSubstr("t.csv:3: \"2024-05-10 00:00:00Z\" has a time zone, and those before it "
                        "have none"));
}

TEST(Trace, NothingElseIsTakenForATime) {
  for (const std::string_view time : {"",
                                      "yesterday",
                                      "2023-13-16 18:17:03",
                                      "2023-02-30 18:17:03",
                                      "2023-11-16 24:17:03",
                                      "2023-11-16 18:61:03",
                                      "2023-11-16 18:17:61",
                                      "2023-11-16 18:17:03.",
                                      "2023-11-16",
                                      "2023/11/16 18:17:03",
                                      "2023-11-16 18:17:03x",
                                      "2023-11-16 18:17:03 ",
                                      "2023-11-16 18:17:03+2",
                                      "2023-11-16 18:17:03+25:00",
                                      "x2023-11-16 18:17:03",
                                      "12:30:00",
                                      "1.5s",
                                      "nan",
                                      "inf",
                                      "1e400",
                                      "0x10"}) {
    // Blanks around a cell in quotes are its own.
    EXPECT_THAT(FaultOfCell(time), HasSubstr("is not a time")) << time;
    EXPECT_THAT(FaultOfCell(time, "arrival_s"), HasSubstr("is not a time")) << time;
  }
  EXPECT_THAT(FaultOfCell("-1", "arrival_s"), HasSubstr("out of bounds"));
  EXPECT_THAT(FaultOfCell("1e13", "arrival_s"), HasSubstr("out of bounds"));
  EXPECT_THAT(FaultOf(ReadTrace(R"([{"arrival_s": true, "prompt_len": 9, "output_len": 4}])", "t")),
              HasSubstr("t: request 1: \"arrival_s\" must be a time"));
}

TEST(Trace, TracesOfOneClockBeginTogether) {
  std::vector<Trace> traces{{{1700, {1, 1}}}, {{1500, {2, 2}}, {1501, {3, 3}}}};
  BeginAtZero(traces);
  EXPECT_THAT(traces[0], ElementsAre(TraceRow{200, {1, 1}}));
  EXPECT_THAT(traces[1], ElementsAre(TraceRow{0, {2, 2}}, TraceRow{1, {3, 3}}));
}

TEST(Trace, ALineThatWasCutOffAtTheEndIsLeftOutAndSaid) {
  const std::string line = R"({"timestamp": 5, "input_length": 900, "output_length": 8})";
  const auto file = ReadTrace(line + "\n" + line.substr(0, 30), "m.jsonl");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->rows.size(), 1);
  EXPECT_THAT(file->notes, ElementsAre("m.jsonl:2: the last line breaks off and is left out"));
  EXPECT_THAT(FaultOf(ReadTrace(line.substr(0, 30) + "\n" + line, "m.jsonl")),
              HasSubstr("m.jsonl:1: the line is not a JSON object; write"));
  EXPECT_THAT(FaultOf(ReadTrace("[" + line + ", " + line.substr(0, 9), "a.json")),
              HasSubstr("a.json: it is not JSON, or breaks off after request 1"));
}

TEST(Trace, ACsvThatWasCutOffAnywhereLosesItsLastLineOnly) {
  const std::string head = "arrival_s,\"user\",prompt_tokens,output_tokens\n1,\"x\",5,6\n";
  const std::string last = "22,\"Doe, J.\",77,88";
  for (std::size_t size = 1; size <= last.size(); ++size) {
    const std::string cut = last.substr(0, size);
    const auto file = ReadTrace(head + cut, "t.csv");
    ASSERT_TRUE(file) << cut << ": " << file.error().message;
    // Whether its last number is whole nobody knows.
    const bool readable = size > last.rfind(',') + 1;
    EXPECT_EQ(file->rows.size(), readable ? 2 : 1) << cut;
    if (readable) continue;
    EXPECT_THAT(file->notes, ElementsAre("t.csv:3: the last line breaks off and is left out"));
  }
  EXPECT_THAT(FaultOf(ReadTrace(head + "22,x,77\n", "t.csv")), HasSubstr("t.csv:3: the row has 3"));
  EXPECT_THAT(FaultOf(ReadTrace(head + "22,x,many,88", "t.csv")), HasSubstr("t.csv:3: "))
      << "it is not its last cell that is wrong";
  EXPECT_THAT(FaultOf(ReadTrace("arrival,prompt_tokens,output_tokens\n1,5,6", "t.csv")),
              HasSubstr("t.csv:2: the unit of the numbers"))
      << "an only line that is wrong";
}

TEST(Trace, FailedRequestsAreSaidToHaveFailed) {
  const auto rows = ReadTrace(
      "number,stage,class,at_s,send_lag_s,status,outcome,prompt_tokens,output_tokens\n"
      "0,1,chat,0,0,200,completed,10,5\n1,1,chat,1,0,502,failed,10,0\n"
      "2,1,chat,2,0,429,refused,10,0\n3,1,chat,3,0,200,completed,10,0\n",
      "rows.csv");
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_THAT(rows->notes,
              ElementsAre("rows.csv: 2 of 4 requests failed or did not end and are left out",
                          HasSubstr("1 of 4 requests have no prompt or no output tokens")));
  EXPECT_THAT(
      ReadTrace(",arrival_s,prompt_tokens,output_tokens\n0,1,5,6\n1,2,5,0\n", "own.csv")->notes,
      ElementsAre(HasSubstr("have no prompt or no output tokens")))
      << "nothing says that it failed";
  EXPECT_THAT(ReadTrace(kVllm, "v.json")->notes,
              ElementsAre("v.json: 1 of 3 requests failed or did not end and are left out"));
  EXPECT_THAT(ReadTrace(kAiperf, "a.jsonl")->notes,
              ElementsAre("a.jsonl: 1 of 2 requests failed or did not end and are left out"));
  EXPECT_THAT(ReadTrace(kGuidellm, "g.json")->notes,
              ElementsAre("g.json: 1 of 3 requests failed or did not end and are left out"));
}

TEST(Trace, ErrorsNameFileLineAndFix) {
  EXPECT_THAT(FaultOf(ReadTrace("", "t.csv")), HasSubstr("t.csv: the file is empty"));
  EXPECT_THAT(FaultOf(ReadTrace("a,b\n1,2\n", "t.csv")), HasSubstr("t.csv:1: the first line must"));
  for (const std::string_view line : {"arrival_s;prompt_tokens;output_tokens\n1;2;3\n",
                                      "arrival_s\tprompt_tokens\toutput_tokens\n1\t2\t3\n"}) {
    EXPECT_THAT(FaultOf(ReadTrace(line, "t.csv")),
                HasSubstr("t.csv:1: the columns must be separated by commas"));
  }
  const std::string head = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  EXPECT_THAT(FaultOf(ReadTrace(head, "t.csv")), HasSubstr("no requests"));
  EXPECT_THAT(FaultOf(ReadTrace(head + "yesterday,1,2\n", "t.csv")),
              HasSubstr("t.csv:2: \"yesterday\" is not a time"));
  EXPECT_THAT(FaultOf(ReadTrace(head + "2023-11-16 18:17:03,1\n", "t.csv")),
              HasSubstr("t.csv:2: the row has 2 cells"));
  EXPECT_THAT(FaultOf(ReadTrace(head + "2023-11-16 18:17:03,-1,2\n", "t.csv")),
              HasSubstr("\"-1\" is not a number of tokens"));
  EXPECT_THAT(FaultOf(ReadTrace(head + "2023-11-16 18:17:03,0,2\n", "t.csv")),
              HasSubstr("no requests with prompt and output tokens"));
  EXPECT_THAT(FaultOf(ReadTrace("{}", "m.jsonl")),
              HasSubstr("m.jsonl:1: of its keys none is called like the prompts' tokens"));
  EXPECT_THAT(FaultOf(ReadTrace("{\"timestamp\"", "m.jsonl")), HasSubstr("not a JSON object"));
  EXPECT_THAT(FaultOf(ReadTrace("{\n\"a\": 1\n}", "m.json")),
              HasSubstr("none that lists requests"));
  EXPECT_THAT(FaultOf(ParseLengthCsv("prompt_tokens,output_tokens\n1,x\n", "l.csv")),
              HasSubstr("l.csv:2: \"x\" is not a number"));
}

TEST(Trace, NumbersHaveRanges) {
  const auto row = [](std::string_view at, std::string_view input, std::string_view output) {
    const std::string text = "{\"timestamp\": " + std::string(at) +
                             ", \"input_length\": " + std::string(input) +
                             ", \"output_length\": " + std::string(output) + "}\n";
    return ReadTrace(text + "{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1}\n",
                     "t.jsonl");
  };
  EXPECT_TRUE(row("1", "16777216", "0"));
  for (const std::string_view number : {"-1", "16777217", "2147483648", "1e308", "null", "1.5"}) {
    EXPECT_FALSE(row("1", number, "1")) << number;
    EXPECT_FALSE(row("1", "1", number)) << number;
  }
  EXPECT_FALSE(row("1e15", "1", "1")) << "31,000 years";
  EXPECT_FALSE(
      ReadTrace("TIMESTAMP,ContextTokens,GeneratedTokens\n"
                "2023-11-16 18:17:03.97,2147483647,10\n",
                "t.csv"));
}

// A file that a tool wrote in a real run, cut to a few requests.
std::string RealFile(const std::string& name) {
  std::ifstream file("tests/data/results/" + name);
  EXPECT_TRUE(file) << "run it from the repository's root";
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Trace, ReadsARealFileOfGuidellm) {
  const auto trace = ReadTrace(RealFile("guidellm-0.8.1.json"), "g.json");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->format, "guidellm's benchmarks");
  ASSERT_EQ(trace->rows.size(), 8u);
  for (const TraceRow& row : trace->rows) EXPECT_EQ(row.length, (RequestLength{15, 16}));
  EXPECT_NEAR(trace->rows[1].at - trace->rows[0].at, 0.543, 0.001);
  EXPECT_THAT(trace->notes, ElementsAre(HasSubstr("g.json: 2 of 10 requests")))
      << "those that failed are not left out without a word";
}

TEST(Trace, ReadsARealFileOfVllm) {
  const auto trace = ReadTrace(RealFile("vllm-0.32.0-detailed.json"), "v.json");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->format, "results of vllm bench serve");
  ASSERT_EQ(trace->rows.size(), 3u);
  EXPECT_EQ(trace->rows[0].length, (RequestLength{35, 16}));
  EXPECT_NEAR(trace->rows[2].at - trace->rows[0].at, 0.5277, 1e-3);
  EXPECT_THAT(FaultOf(ReadTrace(RealFile("vllm-0.32.0.json"), "v.json")),
              HasSubstr("run it with --save-result --save-detailed"));
}

TEST(Trace, ReadsARealFileOfAiperf) {
  const auto trace = ReadTrace(RealFile("aiperf-0.13.0.jsonl"), "a.jsonl");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->format, "aiperf's records");
  ASSERT_EQ(trace->rows.size(), 3u);
  EXPECT_EQ(trace->rows[0].length, (RequestLength{28, 12}));
  EXPECT_NEAR(trace->rows[2].at - trace->rows[0].at, 0.4118, 1e-3);
  EXPECT_THAT(FaultOf(ReadTrace(RealFile("aiperf-0.13.0.json"), "a.json")),
              HasSubstr("name its profile_export.jsonl"));
}

TEST(Trace, ASampleOfTheRequestsIsNoTrace) {
  const auto sample = ReadTrace(
      R"({"benchmarks": [{"scheduler_metrics": {"requests_made": {"total": 40}}, "requests":)"
      R"( {"successful": [{"request_start_time": 1, "prompt_tokens": 5, "output_tokens": 6}]}}]})",
      "g.json");
  ASSERT_FALSE(sample);
  EXPECT_THAT(sample.error().message, HasSubstr("g.json: of the 40 requests of a benchmark it "
                                                "lists 1; run guidellm without a sample size"));
}

TEST(Trace, RowsOfSeveralRunsAreNoTrace) {
  constexpr std::string_view kHeader =
      "policy,rate,seed,class,arrived_s,prompt_tokens,output_tokens,end\n";
  const std::string first = std::string(kHeader) + "slo,1,1,chat,0.5,10,5,completed\n" +
                            "slo,1,1,chat,0.7,11,5,completed\n";
  const auto one = ReadTrace(first, "requests.csv");
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->rows.size(), 2u);
  EXPECT_EQ(one->format, "the requests of `headrace simulate`");
  for (const std::string run : {"least-request,1,1", "slo,1.2,1", "slo,1,2"}) {
    const auto two = ReadTrace(first + run + ",chat,0.5,10,5,completed\n", "requests.csv");
    ASSERT_FALSE(two) << run;
    EXPECT_THAT(two.error().message,
                testing::AllOf(HasSubstr("requests.csv:4: the row is of another run (policy "),
                               HasSubstr("than those above (policy slo, rate 1, seed 1); keep"),
                               HasSubstr("--seeds 1")));
  }
  const auto stages = ReadTrace(
      "number,stage,class,at_s,prompt_tokens,output_tokens\n0,1,chat,0,10,5\n0,2,chat,0,10,5\n",
      "rows.csv");
  ASSERT_FALSE(stages);
  EXPECT_THAT(stages.error().message, HasSubstr("rows.csv:3: the row is of another run (stage 2)"));
  EXPECT_TRUE(ReadTrace("at_s,stage,prompt_len,output_len\n0,1,10,5\n1,2,10,5\n", "own.csv"))
      << "other people's stages are no runs";
}

TEST(Trace, PythonsNaNIsAMissingNumber) {
  std::string text(kVllm);
  text.replace(text.find("\"duration\": 3.5"), 15, "\"mean_itl_ms\": NaN");
  const auto result = ReadRequests(text, "v.json");
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->rows.size(), 2u);
  const auto line = ReadRequests("{\"at_s\": NaN, \"isl\": 5, \"osl\": 6}\n", "own.jsonl");
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("own.jsonl:1: \"at_s\" must be a time"));
}

}  // namespace
}  // namespace headrace::workload
