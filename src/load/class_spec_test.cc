#include "load/class_spec.h"

#include <gmock/gmock.h>

#include <map>

#include "base/test_numbers.h"

namespace headrace::load {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<std::string> ReadNamed(const std::string& path) {
  static const std::map<std::string, std::string> kFiles = {
      {"pairs.csv", "prompt_tokens,output_tokens\n10,20\n"},
      {"azure.csv",
       "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n"
       "2023-11-16 18:17:05.9799600,110,27\n"},
      {"mine.csv", "arrival,prompt_tokens,output_tokens\n1000,5,6\n3000,7,0\n5000,7,8\n"},
      {"broken.csv", "prompt_tokens,output_tokens\n10,many\n"},
  };
  const auto found = kFiles.find(path);
  if (found == kFiles.end()) return Fail(path + " can't be read; check the path");
  return found->second;
}

Result<workload::Workload> Parse(const std::vector<std::string>& specs,
                                 std::optional<double> rate = std::nullopt,
                                 bool closed_loop = false) {
  return ParseClasses(specs, rate, closed_loop, ReadNamed).map([](const ParsedClasses& parsed) {
    return parsed.workload;
  });
}

TEST(ParseClasses, ReadsClassesOfEveryKind) {
  const auto workload = Parse({
      "chat: rate=7, lengths=sharegpt, tpat=50ms",
      "code:rate=4,cv=2,prompt=4000-4600,output=32,ttft=2s,tpot=40ms,ntpot=90ms,e2e=1m",
      "azure: trace=azure.csv, speed=2",
      "mixed: trace=azure.csv, lengths=pairs.csv",
  });
  ASSERT_TRUE(workload) << workload.error().message;
  const auto& classes = workload->classes;
  ASSERT_EQ(classes.size(), 4u);
  EXPECT_EQ(classes[0].name, "chat");
  EXPECT_EQ(std::get<workload::PoissonArrivals>(classes[0].arrivals).rate, 7);
  EXPECT_EQ(std::get<workload::EmpiricalLengths>(classes[0].lengths).pairs->size(), 10'000u);
  ASSERT_TRUE(classes[0].slo);
  EXPECT_EQ(classes[0].slo->tpat, 0.05);
  EXPECT_FALSE(classes[0].slo->ttft);
  EXPECT_EQ(std::get<workload::GammaArrivals>(classes[1].arrivals).cv, 2);
  const auto& drawn = std::get<workload::DistributedLengths>(classes[1].lengths);
  EXPECT_EQ(std::get<workload::UniformTokens>(drawn.prompt).high, 4600);
  EXPECT_EQ(std::get<workload::FixedTokens>(drawn.output).tokens, 32);
  EXPECT_EQ(classes[1].slo->ttft, 2);
  EXPECT_EQ(classes[1].slo->tpot, 0.04);
  EXPECT_EQ(classes[1].slo->ntpot, 0.09);
  EXPECT_EQ(classes[1].slo->e2e, 60);
  const auto& replay = std::get<workload::ReplayArrivals>(classes[2].arrivals);
  EXPECT_EQ(replay.speed, 2);
  EXPECT_EQ(replay.trace->size(), 2u);
  EXPECT_TRUE(std::holds_alternative<workload::TraceLengths>(classes[2].lengths));
  EXPECT_FALSE(classes[2].slo);
  EXPECT_EQ(std::get<workload::EmpiricalLengths>(classes[3].lengths).pairs->front(),
            (workload::RequestLength{10, 20}));
}

TEST(ParseClasses, ATraceTellsItsUnitAndWhatIsLeftOut) {
  const std::vector<std::string> specs{"a: trace=mine.csv, time-unit=ms"};
  const auto parsed = ParseClasses(specs, std::nullopt, false, ReadNamed);
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto& replay = std::get<workload::ReplayArrivals>(parsed->workload.classes[0].arrivals);
  EXPECT_EQ(replay.trace->back(), (workload::TraceRow{4, {7, 8}}));
  EXPECT_THAT(parsed->notes, ElementsAre(HasSubstr("mine.csv: 1 of 3 requests")));
  EXPECT_THAT(Parse({"a: trace=mine.csv"}).error().message,
              HasSubstr("class \"a\": mine.csv:2: the unit of the numbers under \"arrival\""));
  EXPECT_THAT(Parse({"a: trace=mine.csv, time-unit=h"}).error().message,
              HasSubstr("time-unit=h is no unit; write s, ms, us or ns"));
  EXPECT_THAT(Parse({"a: rate=1, time-unit=s, lengths=sharegpt"}).error().message,
              HasSubstr("time-unit= goes with trace= only"));
  EXPECT_TRUE(Parse({"a: rate=1, lengths=mine.csv"})) << "only its lengths matter";
}

TEST(ParseClasses, SharesDivideTheRate) {
  const auto workload = Parse({"a: share=7, prompt=1, output=1", "b: share=4, prompt=1, output=1",
                               "c: rate=2, prompt=1, output=1"},
                              5.5);
  ASSERT_TRUE(workload) << workload.error().message;
  EXPECT_DOUBLE_EQ(workload::OfferedRate(workload->classes[0]), 3.5);
  EXPECT_DOUBLE_EQ(workload::OfferedRate(workload->classes[1]), 2);
  EXPECT_DOUBLE_EQ(workload::OfferedRate(workload->classes[2]), 2);
}

TEST(ParseClasses, InAClosedLoopRatesAreShares) {
  const auto workload =
      Parse({"a: share=3, prompt=1, output=1", "b: prompt=1, output=1"}, std::nullopt, true);
  ASSERT_TRUE(workload) << workload.error().message;
  EXPECT_DOUBLE_EQ(workload::OfferedRate(workload->classes[0]),
                   3 * workload::OfferedRate(workload->classes[1]));
}

TEST(ParseClasses, NumbersHaveRanges) {
  for (const std::string key : {"rate", "cv", "share", "speed", "prompt", "output", "ttft", "tpot",
                                "tpat", "ntpot", "e2e"}) {
    const auto with = [&](std::string_view value) {
      std::string spec = "c: " + key + "=" + std::string(value);
      if (key == "speed") return Parse({spec + ", trace=azure.csv"}, 1);
      if (key != "rate" && key != "share") spec += ", rate=1";
      if (key != "prompt") spec += ", prompt=1";
      if (key != "output") spec += ", output=1";
      return Parse({spec}, 1);
    };
    for (const std::string_view value : kNeverNumbers) {
      const auto workload = with(value);
      ASSERT_FALSE(workload) << key << "=" << value;
      EXPECT_THAT(workload.error().message, HasSubstr(key));
    }
    // What is accepted gives its requests in bounded time.
    for (const std::string_view value : kExtremeNumbers) {
      const auto workload = with(value);
      if (!workload) continue;
      workload::WorkloadStream stream(*workload, 1, 1);
      Seconds last = 0;
      for (int i = 0; i < 100'000; ++i) {
        const auto request = stream.Next();
        if (!request) break;
        last = request->at;
      }
      EXPECT_GT(last, 0) << key << "=" << value << ": time does not go on";
    }
  }
  for (const char* cv : {"0.01", "100"}) {
    const auto workload = Parse({std::string("c: rate=1, prompt=1, output=1, cv=") + cv});
    ASSERT_TRUE(workload);
    workload::WorkloadStream stream(*workload, 1, 1);
    Seconds last = 0;
    for (int i = 0; i < 200'000; ++i) last = stream.Next()->at;
    EXPECT_GT(last, 1000) << cv;
  }
}

TEST(ParseClasses, ErrorsNameTheClassAndTheFix) {
  const std::pair<const char*, const char*> cases[] = {
      {"rate=7", "has no name; write it like"},
      {": rate=7", "has no name; write it like"},
      {"c: rate=7", "no lengths; give"},
      {"c: prompt=1, output=1", "one of rate=, share= and trace="},
      {"c: rate=7, share=1, prompt=1, output=1", "needs the rate of all classes; give --rate"},
      {"c: rate=7, trace=azure.csv", "one of rate=, share= and trace="},
      {"c: rte=7, prompt=1, output=1", "did you mean rate="},
      {"c: rate=7, xyzzy=1", "write rate, share, cv"},
      {"c: rate=0, prompt=1, output=1", "rate=0 is out of bounds; 1e-06 to 1000000 is allowed"},
      {"c: rate=fast, prompt=1, output=1", "rate=fast is not a number"},
      {"c: rate=1, rate=2, prompt=1, output=1", "rate is given twice"},
      {"c: rate=, prompt=1, output=1", "rate has no value"},
      {"c: rate=1, prompt=1", "give both"},
      {"c: rate=1, prompt=9-3, output=1", "prompt=9-3 is not a number of tokens"},
      {"c: rate=1, prompt=0, output=1", "prompt=0 is not a number of tokens"},
      {"c: rate=1, prompt=1, output=1, lengths=sharegpt", "remove one"},
      {"c: rate=1, speed=2, prompt=1, output=1", "speed= goes with trace="},
      {"c: trace=azure.csv, cv=2", "cv= does not go with trace="},
      {"c: rate=1, prompt=1, output=1, tpat=50", "tpat=50 has no unit"},
      {"c: rate=1, lengths=none.csv", "none.csv can't be read"},
      {"c: rate=1, lengths=broken.csv", "broken.csv:2"},
      {"c: trace=pairs.csv", "pairs.csv"},
  };
  for (const auto& [spec, fault] : cases) {
    const auto workload = Parse({spec});
    ASSERT_FALSE(workload) << spec;
    EXPECT_THAT(workload.error().message, AllOf(HasSubstr("class \""), HasSubstr(fault))) << spec;
  }
  EXPECT_THAT(
      Parse({"a: rate=1, prompt=1, output=1", "a: rate=1, prompt=1, output=1"}).error().message,
      HasSubstr("two classes"));
}

}  // namespace
}  // namespace headrace::load
