#include "telemetry/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "telemetry/standing_faults.h"

namespace headrace::telemetry {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

class LogTest : public ::testing::Test {
 protected:
  Log TextLog(LogLevel least = LogLevel::kDebug) { return Make(least, LogFormat::kText); }
  Log JsonLog() { return Make(LogLevel::kDebug, LogFormat::kJson); }
  std::vector<std::string> lines_;

 private:
  Log Make(LogLevel least, LogFormat format) {
    return {least, format, [this](std::string_view line) { lines_.emplace_back(line); }};
  }
};

TEST_F(LogTest, ATextLineHoldsTimeLevelMessageAndFields) {
  const Log log = TextLog();
  log.Warning("endpoint is down",
              {{"endpoint", "10.0.0.7:8000"}, {"failures", 2}, {"up", false}, {"load", 0.25}});
  EXPECT_THAT(lines_,
              ElementsAre(MatchesRegex(
                  "[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+.[0-9]+Z warning endpoint is down "
                  "endpoint=10.0.0.7:8000 failures=2 up=false load=0.25")));
}

TEST_F(LogTest, WhatAClientSendsCannotForgeALine) {
  const Log log = TextLog();
  log.Error("refused\n2026 info", {{"model", "a b\"\n\x1b[31m error x=1"}, {"empty", ""}});
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_THAT(lines_[0], EndsWith("error refused 2026 info model=\"a b\\\"  [31m error x=1\" "
                                  "empty=\"\""));
}

// Some readers end a line there, and some terminals obey.
TEST_F(LogTest, ControlCharactersOfUnicodeAreNoneOfALine) {
  const std::string sent =
      "a\xc2\x85"
      "b\xe2\x80\xa8"
      "c\xc2\x9b"
      "2J\xe2\x80\xae"
      "d";
  TextLog().Error(sent, {{"model", sent}});
  EXPECT_THAT(lines_.at(0), EndsWith("error a b c 2J d model=\"a b c 2J d\""));
  JsonLog().Error("refused", {{"model", sent}});
  EXPECT_THAT(lines_.at(1), HasSubstr(R"("a\u0085b\u2028c\u009b2J\u202ed")"));
}

TEST_F(LogTest, AJsonLineIsOneObject) {
  const Log log = JsonLog();
  log.Info("say \"hi\"\n", {{"model", "m\\\n\xff"},
                            {"n", std::uint64_t{7}},
                            {"x", 0.5},
                            {"hole", std::numeric_limits<double>::quiet_NaN()},
                            {"ok", true}});
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_EQ(lines_[0].find('\n'), std::string::npos);
  const nlohmann::json line = nlohmann::json::parse(lines_[0]);
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["message"], "say \"hi\"\n");
  EXPECT_EQ(line["model"], "m\\\n\xef\xbf\xbd");
  EXPECT_EQ(line["n"], 7);
  EXPECT_EQ(line["x"], 0.5);
  EXPECT_TRUE(line["hole"].is_null());
  EXPECT_EQ(line["ok"], true);
  EXPECT_THAT(line["time"].get<std::string>(), EndsWith("Z"));
}

TEST_F(LogTest, WritesNothingBelowTheLeastLevel) {
  Log log = TextLog(LogLevel::kWarning);
  log.Info("no");
  EXPECT_FALSE(log.Writes(LogLevel::kInfo));
  EXPECT_THAT(lines_, IsEmpty());
  log.SetLeast(LogLevel::kDebug);
  log.Debug("yes");
  EXPECT_EQ(lines_.size(), 1U);
}

TEST_F(LogTest, LinesOfSeveralThreadsStayWhole) {
  const Log log = TextLog();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log] {
      for (int i = 0; i < 500; ++i) log.Info("abcdefghijklmnopqrstuvwxyz", {{"i", 1}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(lines_.size(), 2000U);
  for (const std::string& line : lines_) {
    EXPECT_THAT(line, EndsWith("Z info abcdefghijklmnopqrstuvwxyz i=1"));
  }
}

class StandingFaultsTest : public LogTest {
 protected:
  void Raise(std::string_view message, Seconds now) {
    faults_.Raise(LogLevel::kWarning, "e", message, now);
  }
  // What was said since the last call, without the times.
  std::vector<std::string> Said() {
    std::vector<std::string> said;
    for (const std::string& line : lines_) said.push_back(line.substr(line.find(' ') + 1));
    lines_.clear();
    return said;
  }

  Log log_ = TextLog();
  StandingFaults faults_{log_};
};

TEST_F(StandingFaultsTest, AStandingFaultIsSaidOnce) {
  for (int now = 0; now < 100; ++now) Raise("is down", now);
  EXPECT_THAT(Said(), ElementsAre("warning is down cause=e"));
  EXPECT_EQ(faults_.standing(), 1U);
}

TEST_F(StandingFaultsTest, ItIsSaidAgainWhenItChangesAndWhenItIsOver) {
  Raise("is down", 0);
  Raise("is stale", 20);
  faults_.Clear("e", "is fine", 40);
  faults_.Clear("e", "is fine", 60);
  EXPECT_THAT(Said(), ElementsAre("warning is down cause=e", "warning is stale cause=e",
                                  "info is fine cause=e"));
  EXPECT_EQ(faults_.standing(), 0U);
  Raise("is down", 80);
  EXPECT_THAT(Said(), ElementsAre("warning is down cause=e"));
}

TEST_F(StandingFaultsTest, WhatWasNeverWrongIsNotSaidToBeFine) {
  faults_.Clear("e", "is fine", 0);
  EXPECT_THAT(Said(), IsEmpty());
}

TEST_F(StandingFaultsTest, AFlappingFaultGetsOneLinePerInterval) {
  for (int i = 0; i < 1000; ++i) {
    Raise("is down", 0.01 * i);
    faults_.Clear("e", "is fine", 0.01 * i);
  }
  EXPECT_THAT(Said(), ElementsAre("warning is down cause=e"));
  faults_.Clear("e", "is fine", 10);
  EXPECT_THAT(Said(), ElementsAre("info is fine cause=e held_back=1"));
}

TEST_F(StandingFaultsTest, AFaultThatKeepsChangingIsCounted) {
  for (int i = 0; i < 5; ++i) Raise("failed " + std::to_string(i) + " times", i);
  Raise("failed 5 times", 10);
  EXPECT_THAT(Said(), ElementsAre("warning failed 0 times cause=e",
                                  "warning failed 5 times cause=e held_back=4"));
}

TEST_F(StandingFaultsTest, CausesDoNotHideEachOther) {
  Raise("is down", 0);
  faults_.Raise(LogLevel::kError, "f", "is down", 0);
  EXPECT_EQ(Said().size(), 2U);
  faults_.Clear("e", "is fine", 20);
  EXPECT_EQ(faults_.standing(), 1U);
}

TEST_F(StandingFaultsTest, CausesThatAreLongOverAreForgotten) {
  for (int i = 0; i < 5000; ++i) {
    const std::string cause = "endpoint " + std::to_string(i);
    faults_.Raise(LogLevel::kWarning, cause, "is down", 100.0 * i);
    faults_.Clear(cause, "is fine", 100.0 * i + 50);
  }
  EXPECT_EQ(Said().size(), 10'000U);
  EXPECT_EQ(faults_.standing(), 0U);
}

}  // namespace
}  // namespace headrace::telemetry
