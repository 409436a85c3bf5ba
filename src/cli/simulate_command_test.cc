#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/commands.h"
#include "system/files.h"
#include "system/temporary_folder.h"

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class SimulateCommand : public testing::Test {
 protected:
  SimulateCommand() {
    fs::create_directory(folder_.path() / "recorded");
    Put("scenario.yaml", R"(
name: one GPU
model: llama2-7b
max_model_len: 4096
slo: { e2e: 30s, percentile: 99 }
fleet: [{ name: a10, gpu: a10, endpoints: 2, profile: none }]
workload: [{ name: chat, rate: 0.5, prompt: 100, output: 50 }, { name: code, rate: 0.5, prompt: 900, output: 20 }]
policies: [least-request]
warm_up: 0s
duration: 1m
seeds: 2
)");
  }

  std::string Path(const std::string& name) const { return (folder_.path() / name).string(); }
  void Put(const std::string& name, const std::string& text) const { folder_.Write(name, text); }
  // Returns standard error; the exit status is in `status_`.
  std::string Run(const std::string& more) {
    CLI::App app("test", "headrace");
    AddSimulateCommand(app);
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    status_ = 0;
    try {
      app.parse(
          "simulate --scenario " + Path("scenario.yaml") + " --out " + Path("out") + " " + more,
          false);
    } catch (const CLI::ParseError& error) {
      status_ = app.exit(error);
    }
    testing::internal::GetCapturedStdout();
    return testing::internal::GetCapturedStderr();
  }
  nlohmann::json Summary() const {
    return nlohmann::json::parse(*system::ReadFile(Path("out/summary.json")));
  }

  system::TemporaryFolder folder_;
  int status_ = 0;
};

TEST_F(SimulateCommand, ReplaysWhatAGatewayRecorded) {
  // In the order in which they ended; the first was refused and has estimated lengths.
  Put("recorded/chat.jsonl",
      R"({"timestamp": 20000, "input_length": 100, "output_length": 50, "outcome": "refused", "estimated": true, "queued_ms": 0.1}
{"timestamp": 10000, "input_length": 200, "output_length": 60, "outcome": "completed", "queued_ms": 0.1, "deployment": "h100", "ttft_ms": 20.5, "e2e_ms": 812.25}
)");
  Put("recorded/code.jsonl", R"({"timestamp": 5, "input_length": 900, "output_length": 8}
)");
  EXPECT_EQ(Run("--replay " + Path("recorded") + " --requests --seeds 1"), "");
  EXPECT_EQ(status_, 0);
  const auto summary = Summary();
  ASSERT_EQ(summary.size(), 1U);
  EXPECT_EQ(summary[0]["offered"], 3);
  EXPECT_EQ(summary[0]["completed"], 3);
  const std::string requests = *system::ReadFile(Path("out/requests.csv"));
  EXPECT_THAT(requests, HasSubstr(",chat,9.995,200,60,completed,"));
  EXPECT_THAT(requests, HasSubstr(",chat,19.995,100,50,completed,"));
  EXPECT_THAT(requests, HasSubstr(",code,0,900,8,completed,"));
}

TEST_F(SimulateCommand, SaysThatThereIsNothingToReplay) {
  EXPECT_THAT(Run("--replay " + Path("recorded")),
              HasSubstr("holds no recorded requests (*.jsonl)"));
  EXPECT_EQ(status_, 1);
  EXPECT_THAT(Run("--replay " + Path("nowhere")), HasSubstr("nowhere: cannot be listed (No such"));
  Put("recorded/idle.jsonl", "");
  EXPECT_THAT(Run("--replay " + Path("recorded")), HasSubstr("no recorded requests"));
  Put("recorded/a.jsonl", "{\"timestamp\": 1}\n");
  EXPECT_THAT(Run("--replay " + Path("recorded")),
              HasSubstr("recorded/a.jsonl:1: of its keys none is called like the prompts' tokens"));
}

// Unix times ten minutes apart: the replay begins with the first one, not in 1970.
TEST_F(SimulateCommand, AReplayBeginsAndEndsWithItsRequestsAtEveryRate) {
  Put("recorded/chat.jsonl",
      R"({"timestamp": 1700000000000, "input_length": 100, "output_length": 50}
{"timestamp": 1700000600000, "input_length": 100, "output_length": 50}
)");
  Put("recorded/code.jsonl",
      R"({"timestamp": 1700000300000, "input_length": 900, "output_length": 8}
)");
  Put("recorded/idle.jsonl", "");
  EXPECT_THAT(Run("--replay " + Path("recorded") + " --rate-scale 0.5,2 --seeds 1"),
              HasSubstr("idle.jsonl: no request was recorded; left out"));
  ASSERT_EQ(status_, 0);
  const auto summary = Summary();
  ASSERT_EQ(summary.size(), 2U);
  for (const auto& run : summary) EXPECT_EQ(run["completed"], 3) << run;
  const auto goodput = [&](int run) { return summary[run]["goodput_rps"].get<double>(); };
  EXPECT_NEAR(goodput(0), 3 / 1202.0, 1e-4);
  EXPECT_NEAR(goodput(1) / goodput(0), 4, 0.01) << "four times as fast";
}

TEST_F(SimulateCommand, RefusesSplitsThatTheFleetDoesNotHaveAndGroupsClasses) {
  EXPECT_THAT(Run("--policy type-split"),
              HasSubstr("type-split cannot split 1 deployment among 2 classes"));
  EXPECT_EQ(status_, 1);
  for (const char* name : {"a", "b", "c"}) {
    Put(std::string("recorded/") + name + ".jsonl",
        R"({"timestamp": 1, "input_length": 9, "output_length": 8})");
  }
  EXPECT_THAT(Run("--replay " + Path("recorded") + " --policy best-split"),
              HasSubstr("best-split splits the fleet among 2 groups of classes that are alike"));
  EXPECT_EQ(status_, 0);
}

TEST_F(SimulateCommand, ChecksTheFolderOfItsResultsBeforeItRuns) {
  Put("out", "a file");
  EXPECT_THAT(Run("--requests"),
              HasSubstr("is not a directory that can be written to; name another"));
  EXPECT_EQ(status_, 1);
}

TEST_F(SimulateCommand, ChecksEveryFileOfItsResultsBeforeItRuns) {
  for (const char* file : {"requests.csv", "summary.json", "report.html", "goodput.json"}) {
    fs::create_directories(Path("out") + "/" + file);
    EXPECT_EQ(Run("--requests --goodput"),
              Path("out") + "/" + file + ": is a folder; name a file in it.\n");
    EXPECT_EQ(status_, 1);
    fs::remove_all(Path("out"));
  }
}

// No engine holds 5,000 tokens.
TEST_F(SimulateCommand, TimesThatARequestDoesNotHaveAreEmptyCells) {
  Put("recorded/chat.jsonl", R"({"timestamp": 1, "input_length": 5000, "output_length": 5}
{"timestamp": 2, "input_length": 100, "output_length": 5}
)");
  Run("--replay " + Path("recorded") + " --requests --seeds 1");
  ASSERT_EQ(status_, 0);
  const std::string requests = *system::ReadFile(Path("out/requests.csv"));
  EXPECT_THAT(requests, HasSubstr(",chat,0,5000,5,too_long,0,,,,,,,,\n"));
  EXPECT_THAT(requests, testing::ContainsRegex(",100,5,completed,1,a10,[01],0,[0-9.]+,[0-9.]+,,,"));
}

TEST_F(SimulateCommand, RequestsOfAStaticSplitAreWrittenToo) {
  EXPECT_EQ(Run("--policy best-split,least-request --requests --seeds 2"), "");
  const std::string requests = *system::ReadFile(Path("out/requests.csv"));
  std::map<std::string, std::int64_t> lines;
  std::istringstream stream(requests);
  for (std::string line; std::getline(stream, line);) ++lines[line.substr(0, line.find(','))];
  std::map<std::string, std::int64_t> offered;
  for (const auto& run : Summary()) {
    offered[run["policy"].get<std::string>()] += run["offered"].get<std::int64_t>();
  }
  EXPECT_GT(offered["best-split"], 50);
  EXPECT_EQ(lines["best-split"], offered["best-split"]);
  EXPECT_EQ(lines["least-request"], offered["least-request"]);
  // Each endpoint belongs to one class.
  std::map<std::string, std::string> owner;
  stream = std::istringstream(requests);
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with("best-split,")) continue;
    std::vector<std::string> cells;
    std::istringstream row(line);
    for (std::string cell; std::getline(row, cell, ',');) cells.push_back(cell);
    const std::string endpoint = cells[1] + "/" + cells[9] + "/" + cells[10];
    EXPECT_EQ(owner.try_emplace(endpoint, cells[3]).first->second, cells[3]) << line;
  }
}

}  // namespace
}  // namespace headrace::cli
