#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cli/commands.h"
#include "cli/program.h"
#include "emulator/emulated_engine.h"
#include "engine/gpu_catalog.h"
#include "system/termination.h"

namespace headrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class LoadCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto catalog = engine::GpuCatalog::Parse(engine::ShippedGpuCatalog(), "gpus.json");
    engine_ =
        *emulator::EmulatedEngine::Start({.model = "m",
                                          .engine = *catalog->Engine("l20", "llama2-7b", 4096),
                                          .speed = 100,
                                          .seed = 1,
                                          .listen = *system::Resolve({"127.0.0.1", 0})});
  }
  ~LoadCommand() override {
    std::filesystem::remove(json_);
    std::filesystem::remove(csv_);
  }

  // The exit status; what was printed on standard error is in err_.
  int Run(std::vector<std::string> arguments) {
    CLI::App app("test", "headrace");
    AddLoadCommand(app);
    int status = 0;
    ::testing::internal::CaptureStderr();
    try {
      std::reverse(arguments.begin(), arguments.end());
      app.parse(arguments);
    } catch (const CLI::Error& error) {
      std::ostringstream ignored;
      status = app.exit(error, ignored, ignored);
      err_ = ignored.str();
    }
    err_ += ::testing::internal::GetCapturedStderr();
    return status;
  }
  std::string Target() const { return "http://" + engine_->address().ToString(); }

  // Before any thread: a signal is for the command, whenever it comes.
  const system::Termination signals_;
  std::unique_ptr<emulator::EmulatedEngine> engine_;
  const std::string base_ = ::testing::TempDir() + "headrace_load_command_" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name();
  const std::string json_ = base_ + ".json";
  const std::string csv_ = base_ + ".csv";
  std::string err_;
};

TEST_F(LoadCommand, WritesWhatItMeasured) {
  ASSERT_EQ(Run({"load", "--target", Target(), "--model", "m", "--rate", "300", "--class",
                 "a: share=2, prompt=30, output=3, e2e=1m", "--class",
                 "b: share=1, cv=2, prompt=20-30, output=1", "--requests", "50", "-o", json_,
                 "--csv", csv_}),
            0)
      << err_;
  std::ifstream json_file(json_);
  const auto json = nlohmann::json::parse(json_file);
  EXPECT_EQ(json["completed"], 50);
  EXPECT_EQ(json["classes"]["a"]["slo"], "e2e 60 s");
  EXPECT_EQ(
      json["classes"]["a"]["completed"].get<int>() + json["classes"]["b"]["completed"].get<int>(),
      50);
  std::ifstream csv_file(csv_);
  int lines = 0;
  for (std::string line; std::getline(csv_file, line);) ++lines;
  EXPECT_EQ(lines, 51);
  EXPECT_THAT(err_, HasSubstr("offered"));
}

TEST_F(LoadCommand, FailsWhereNothingIsDone) {
  const std::vector<std::string> load = {
      "--rate", "300", "--class", "a: share=1, prompt=30, output=3", "--requests", "5"};
  const auto run = [&](const std::string& target, const std::string& model) {
    std::vector<std::string> arguments = {"load", "--target", target, "--model", model};
    arguments.insert(arguments.end(), load.begin(), load.end());
    return Run(arguments);
  };
  EXPECT_EQ(run(Target(), "m"), 0) << err_;
  EXPECT_EQ(run(Target(), "other"), 1);
  EXPECT_THAT(err_, HasSubstr("none of 5 requests was completed: status 404, \""));
  const std::string target = Target();
  engine_.reset();
  EXPECT_EQ(run(target, "m"), 1);
  EXPECT_THAT(err_, HasSubstr("; start the server, or name another one with --target"));
}

TEST_F(LoadCommand, AServerThatRefusesAllIsSeenAfterTheFirstFew) {
  EXPECT_EQ(Run({"load", "--target", Target(), "--model", "other", "--rate", "300", "--class",
                 "a: share=1, prompt=30, output=3", "--duration", "1h", "-o", json_}),
            1);
  EXPECT_THAT(err_, AllOf(HasSubstr("refused the first requests, all of them: status 404, \""),
                          HasSubstr("other"), HasSubstr("the load was given up")));
  std::ifstream file(json_);
  EXPECT_EQ(nlohmann::json::parse(file)["failures"][0]["reason"], "status 404");
}

TEST_F(LoadCommand, SeveralStagesAreOneRunWithOneTable) {
  ASSERT_EQ(Run({"load", "--target", Target(), "--model", "m", "--rate", "200,400", "--class",
                 "a: share=1, prompt=30, output=3", "--requests", "20", "--percentiles", "50,95",
                 "-o", json_, "--csv", csv_}),
            0)
      << err_;
  EXPECT_THAT(err_, AllOf(HasSubstr("goodput/s"), HasSubstr("TTFT s p50/p95")));
  std::ifstream file(json_);
  const auto stages = nlohmann::json::parse(file)["stages"];
  ASSERT_EQ(stages.size(), 2U);
  for (const auto& stage : stages) EXPECT_EQ(stage["completed"], 20);
  EXPECT_GT(stages[0]["arrivals_s"], 1.5 * stages[1]["arrivals_s"].get<double>())
      << "the same arrivals, twice as fast";
  EXPECT_TRUE(stages[0]["e2e_s"].contains("p95"));
  EXPECT_FALSE(stages[0]["e2e_s"].contains("p99"));
}

TEST_F(LoadCommand, AClosedLoopOfABaseModel) {
  ASSERT_EQ(Run({"load", "--target", Target(), "--model", "m", "--api", "completions",
                 "--concurrency", "4", "--requests", "40", "--warm-up", "5", "--class",
                 "a: prompt=30, output=3", "-o", json_}),
            0)
      << err_;
  std::ifstream file(json_);
  const auto json = nlohmann::json::parse(file);
  EXPECT_EQ(json["completed"], 40);
  EXPECT_EQ(json["warm_up"], 5);
  EXPECT_EQ(json["rates_over"], "steady part");
  EXPECT_EQ(json["warnings"].size(), 0U)
      << "prompts have the lengths asked for: " << json["warnings"];
  EXPECT_THAT(err_, HasSubstr(" s with 4 requests open: "));
}

TEST_F(LoadCommand, PlacesAreTriedBeforeTheRun) {
  const std::vector<std::string> load = {"load",
                                         "--target",
                                         Target(),
                                         "--model",
                                         "m",
                                         "--rate",
                                         "1",
                                         "--duration",
                                         "1h",
                                         "--class",
                                         "a: share=1, prompt=30, output=3"};
  for (const char* option : {"-o", "--csv"}) {
    std::vector<std::string> arguments = load;
    arguments.insert(arguments.end(), {option, base_ + "/none/file"});
    EXPECT_EQ(Run(arguments), 1);
    EXPECT_THAT(err_, HasSubstr("/none/file: there is no folder " + base_ + "/none; make it"));
  }
  std::vector<std::string> both = load;
  both.insert(both.end(), {"-o", csv_, "--csv", csv_});
  EXPECT_NE(Run(both), 0);
  EXPECT_THAT(err_, HasSubstr("-o and --csv are the same place"));
}

TEST_F(LoadCommand, AClosedLoopThatHasTooFewSocketsIsNotBegun) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{.rlim_cur = 100, .rlim_max = 200};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  EXPECT_EQ(Run({"load", "--target", Target(), "--model", "m", "--concurrency", "1000",
                 "--requests", "2000", "--class", "a: prompt=30, output=3"}),
            1);
  EXPECT_THAT(err_, AllOf(HasSubstr("--concurrency 1000 needs 1016 open files and sockets"),
                          HasSubstr("may have 200; raise that (ulimit -n)")));
  setrlimit(RLIMIT_NOFILE, &before);  // Only root gets back what it was; 200 are enough here.
}

TEST_F(LoadCommand, StagesThatWereNotRunAreSaid) {
  EXPECT_EQ(
      Run({"load", "--target", Target(), "--model", "other", "--rate", "300,600", "--class",
           "a: share=1, prompt=30, output=3", "--duration", "1h", "-o", json_, "--csv", csv_}),
      1);
  EXPECT_THAT(err_, HasSubstr("The load ended in stage 1 of 2; the others were not run."));
  std::ifstream file(json_);
  const auto json = nlohmann::json::parse(file);
  EXPECT_EQ(json["stages_asked"], 2);
  EXPECT_EQ(json["stages"].size(), 1U);
  // What failed is no request of one token to who replays the rows.
  std::ifstream rows(csv_);
  std::string row;
  std::getline(rows, row);
  std::getline(rows, row);
  EXPECT_THAT(row, HasSubstr(",404,failed,30,0,"));
}

TEST_F(LoadCommand, AFullDiskIsAnErrorThatLosesNoOtherResult) {
  EXPECT_EQ(Run({"load", "--target", Target(), "--model", "m", "--requests", "5", "--concurrency",
                 "1", "--class", "a: prompt=30, output=3", "-o", json_, "--csv", "/dev/full"}),
            1);
  EXPECT_THAT(err_, HasSubstr("/dev/full: cannot be written (No space left on device)."));
}

// The exit status of a load of ten requests whose standard error is this file; -1: it is closed.
int RunWithStandardError(int file, const std::string& target,
                         const std::vector<std::string>& more) {
  std::vector<const char*> arguments = {
      "headrace",      "load", "--target",   target.c_str(),
      "--model",       "m",    "--class",    "a: prompt=30, output=3",
      "--concurrency", "2",    "--requests", "10"};
  for (const std::string& argument : more) arguments.push_back(argument.c_str());
  std::fflush(stderr);
  const int before = dup(STDERR_FILENO);
  file < 0 ? close(STDERR_FILENO) : dup2(file, STDERR_FILENO);
  const int status = RunProgram(static_cast<int>(arguments.size()), arguments.data());
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  std::clearerr(stderr);
  close(before);
  return status;
}

TEST_F(LoadCommand, AStandardErrorThatTakesNothingLosesNoResult) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  const int full = open("/dev/full", O_WRONLY);
  for (const int file : {ends[1], full, -1}) {
    EXPECT_EQ(RunWithStandardError(file, Target(), {"-o", json_, "--csv", csv_}), 0) << file;
    std::ifstream json_file(json_);
    EXPECT_EQ(nlohmann::json::parse(json_file)["completed"], 10);
    std::ifstream csv_file(csv_);
    int lines = 0;
    for (std::string line; std::getline(csv_file, line); ++lines) {
      EXPECT_EQ(std::ranges::count(line, ','), 13) << "nothing else is written into it: " << line;
    }
    EXPECT_EQ(lines, 11);
  }
  // Without these the report is there, or nowhere.
  EXPECT_EQ(RunWithStandardError(full, Target(), {}), 1);
  EXPECT_EQ(RunWithStandardError(ends[1], Target(), {}), 0) << "who has left wants no more";
  close(ends[1]);
  close(full);
}

TEST_F(LoadCommand, AStageWithoutRequestsIsNoFailure) {
  const auto run = [&](const char* warm_up) {
    return Run({"load", "--target", Target(), "--model", "m", "--rate", "0.001,300", "--class",
                "a: share=1, prompt=30, output=3", "--duration", "100ms", "--warm-up", warm_up});
  };
  EXPECT_EQ(run("0"), 0) << err_;
  EXPECT_THAT(err_, HasSubstr("\nNo request came.\n"));
  EXPECT_EQ(run("1000000"), 1);
  EXPECT_THAT(err_, AllOf(HasSubstr("All requests were the warm-up; none came after it."),
                          HasSubstr("No request was measured; give a longer --duration")));
}

// The first one ends the arrivals, and the report is written.
TEST_F(LoadCommand, ASignalEndsWithReportAndRows) {
  std::jthread interrupt([this] {
    // Once there is a row.
    while (std::filesystem::exists(csv_) ? std::filesystem::file_size(csv_) < 200 : true) {
      std::this_thread::yield();
    }
    kill(getpid(), SIGINT);
  });
  EXPECT_EQ(Run({"load", "--target", Target(), "--model", "m", "--rate", "200", "--duration", "1h",
                 "--class", "a: share=1, prompt=30, output=3", "-o", json_, "--csv", csv_}),
            0)
      << err_;
  std::ifstream file(json_);
  const auto json = nlohmann::json::parse(file);
  EXPECT_GT(json["completed"], 0);
  EXPECT_LT(json["elapsed_s"], 600);
  EXPECT_EQ(json["offered"], json["completed"]);
}

TEST_F(LoadCommand, SaysWhatItCannotDo) {
  const std::vector<std::string> start = {"load", "--model", "m"};
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), start.begin(), start.end());
    EXPECT_NE(Run(more), 0);
    return err_;
  };
  EXPECT_THAT(run({"--workload", "none"}), HasSubstr("choose one of chat-and-code"));
  EXPECT_THAT(run({"--class", "a: rate=1"}), HasSubstr("class \"a\": it has no lengths"));
  EXPECT_THAT(run({"--workload", "chat-and-code", "--target", "ftp://x:1"}),
              HasSubstr("The server's URL has a scheme that is not known here"));
  EXPECT_THAT(run({"--workload", "chat-and-code", "--duration", "long"}),
              HasSubstr("--duration: long is not a duration; write it like"));
  EXPECT_THAT(run({"--workload", "chat-and-code", "--header", "nonsense"}),
              HasSubstr("has no colon"));
  EXPECT_THAT(run({"--workload", "chat-and-code", "--concurrency", "4", "--rate", "2"}),
              HasSubstr("so it has no rate; remove --rate"));
  EXPECT_THAT(run({"--workload", "chat-and-code", "--rate", "1,2", "--rate-scale", "1,2"}),
              HasSubstr("Give several values to just one of"));
  EXPECT_THAT(run({"--workload", "chat-and-code", "--percentiles", "50,101"}),
              HasSubstr("101 is out of bounds"));
}

}  // namespace
}  // namespace headrace::cli
