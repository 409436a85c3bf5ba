#include "cli/program.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http_server.h"
#include "net/test_peers.h"

namespace headrace::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Matcher;
using ::testing::Not;

struct Ran {
  int status = 0;
  std::string out;
  std::string err;
};

Ran Execute(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "headrace");
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Ran ran;
  ran.status = RunProgram(static_cast<int>(arguments.size()), arguments.data());
  ran.out = ::testing::internal::GetCapturedStdout();
  ran.err = ::testing::internal::GetCapturedStderr();
  return ran;
}

// Every subcommand: "profile measure".
void Collect(const CLI::App& app, const std::vector<std::string>& path,
             std::vector<std::vector<std::string>>& found) {
  for (const CLI::App* sub : app.get_subcommands(nullptr)) {
    if (sub->get_name().empty()) continue;
    std::vector<std::string> inner = path;
    inner.push_back(sub->get_name());
    found.push_back(inner);
    Collect(*sub, inner, found);
  }
}

TEST(Program, ExitStatusesAreTheUsualOnes) {
  std::vector<std::vector<std::string>> commands;
  Collect(*MakeProgram(), {}, commands);
  commands.emplace_back();
  EXPECT_GT(commands.size(), 15U);
  for (const std::vector<std::string>& command : commands) {
    std::vector<const char*> arguments;
    for (const std::string& word : command) arguments.push_back(word.c_str());
    const auto with = [&arguments](const char* more) {
      std::vector<const char*> all = arguments;
      all.push_back(more);
      return Execute(all);
    };
    const std::string name = command.empty() ? "" : command.back();
    EXPECT_EQ(with("--help").status, 0) << name;
    EXPECT_THAT(with("--help").out, HasSubstr("--help")) << name;
    const Ran misused = with("--no-such-option");
    EXPECT_EQ(misused.status, 2) << name;
    EXPECT_THAT(misused.err, HasSubstr("--no-such-option")) << name;
    EXPECT_THAT(misused.out, IsEmpty()) << name;
  }
  EXPECT_EQ(Execute({}).status, 2);
  EXPECT_EQ(Execute({"--version"}).status, 0);
  // What is asked for is clear, and fails.
  for (const std::vector<const char*>& command :
       {std::vector<const char*>{"serve", "--config", "/none"},
        {"config", "check", "/none"},
        {"simulate", "--scenario", "/none"},
        {"load", "--model", "m", "--workload", "chat-and-code", "--target", "127.0.0.1:1"},
        {"engine", "--gpu", "none", "--model", "m"},
        {"profile", "measure", "--gpu", "none", "--model", "m"},
        {"profile", "generate", "--benchmark", "/none", "--deployment", "d", "--tpat", "1s"},
        {"profile", "check", "/none"},
        {"profile", "show", "/none"},
        {"profile", "list", "/none"},
        {"profile", "push", "/none", "--to", "redis://127.0.0.1:1?model=m"}}) {
    const Ran ran = Execute(command);
    EXPECT_EQ(ran.status, 1) << command[0] << " " << command[1] << ran.err;
    EXPECT_NE(ran.err + ran.out, "");
  }
  // What is asked for cannot be meant.
  for (const std::vector<const char*>& command :
       {std::vector<const char*>{"serve"},
        {"load", "--model", "m"},
        {"load", "--model", "m", "--workload", "none"},
        {"load", "--model", "m", "--class", "a: rate=fast"},
        {"load", "--model", "m", "--workload", "chat-and-code", "--target", "ftp://x"},
        {"profile", "measure", "--model", "m"},
        {"simulate", "--scenario", "x", "--seeds", "none"}}) {
    EXPECT_EQ(Execute(command).status, 2) << command[0];
  }
}

// Who gives the clients' address, or that of something else, is told so.
TEST(Program, ControlsAnAdminAddressOnly) {
  net::IoThreads threads(1);
  for (const char* body : {R"({"error":{"message":"There is nothing at this path."}})",
                           R"({"error":"There is no endpoint e:1."})", "<html>", "[1]", ""}) {
    const auto server =
        *net::HttpServer::Listen(threads, net::AnyLoopbackPort(), {},
                                 [body](net::HttpExchange& exchange) -> net::Task<void> {
                                   const net::ResponseHead head(200);
                                   co_await exchange.Respond(head, body);
                                 });
    const std::string address = server->address().ToString();
    const bool own = std::string_view(body).find("no endpoint") != std::string_view::npos;
    for (const std::vector<const char*>& command : {std::vector<const char*>{"reload"},
                                                    {"drain"},
                                                    {"drain", "e:1"},
                                                    {"resume", "e:1"},
                                                    {"top", "--once"},
                                                    {"explain"},
                                                    {"explain", "e:1"}}) {
      std::vector<const char*> arguments = command;
      arguments.insert(arguments.end(), {"--admin", address.c_str()});
      const Ran ran = Execute(arguments);
      EXPECT_EQ(ran.status, 1) << command[0] << " " << body;
      EXPECT_THAT(ran.err, HasSubstr(own ? "There is no endpoint e:1." : "--admin HOST:PORT"));
    }
  }
}

// The same for people and for programs; of a gateway that is away, a sentence.
TEST(Program, ShowsWhatTheAdminPagesSay) {
  net::IoThreads threads(1);
  static std::string asked;
  const auto server = *net::HttpServer::Listen(
      threads, net::AnyLoopbackPort(), {}, [](net::HttpExchange& exchange) -> net::Task<void> {
        asked = std::string(exchange.path()) + "?" + std::string(exchange.query());
        const net::ResponseHead head(200);
        co_await exchange.Respond(
            head, R"({"request_id": "a/b c", "why": "So.", "miss": 0.0100, "version": "9.9.9",
                      "models": [{"name": "m"}],
                      "requests": [{"request_id": "a/b c", "outcome": "completed"}]})");
      });
  const std::string address = server->address().ToString();
  const auto run = [&](std::vector<const char*> arguments) {
    arguments.insert(arguments.end(), {"--admin", address.c_str()});
    return Execute(arguments);
  };
  EXPECT_THAT(run({"explain", "a/b c"}).out, HasSubstr("So.\n"));
  EXPECT_EQ(asked, "/explain/a%2Fb%20c?");
  EXPECT_THAT(run({"explain", "a/b c", "--json"}).out, HasSubstr(R"("miss": 0.0100, )"));
  EXPECT_THAT(run({"explain", "--last", "7"}).out, HasSubstr("a/b c    completed"));
  EXPECT_EQ(asked, "/explain?last=7");
  EXPECT_EQ(run({"explain", "x", "--last", "7"}).status, 2);
  EXPECT_EQ(run({"explain", "--last", "201"}).status, 2);
  // Without a terminal, one picture.
  EXPECT_THAT(run({"top"}).out, HasSubstr("headrace 9.9.9"));
  EXPECT_EQ(run({"top", "--every", "0"}).status, 2);
}

TEST(Program, AReaderThatLeavesWantsNoMoreAndAFullDiskIsAFailure) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  const int full = open("/dev/full", O_WRONLY);
  for (std::vector<const char*> arguments : std::vector<std::vector<const char*>>{
           {"headrace", "profile", "check", "profiles/llama2-7b-a10.json"},
           {"headrace", "profile", "measure", "--gpu", "a10", "--model", "llama2-7b", "--inputs",
            "16", "--outputs", "4", "--samples", "20", "--rate-step", "9"}}) {
    for (const auto& [file, status] : {std::pair(ends[1], 0), std::pair(full, 1)}) {
      std::fflush(stdout);
      const int before = dup(STDOUT_FILENO);
      dup2(file, STDOUT_FILENO);
      ::testing::internal::CaptureStderr();
      const int got = RunProgram(static_cast<int>(arguments.size()), arguments.data());
      const std::string err = ::testing::internal::GetCapturedStderr();
      dup2(before, STDOUT_FILENO);
      std::clearerr(stdout);
      close(before);
      EXPECT_EQ(got, status) << err;
      EXPECT_THAT(err, status == 0 ? Not(HasSubstr("cannot be written"))
                                   : Matcher<std::string>(HasSubstr("cannot be written")));
    }
  }
  close(ends[1]);
  close(full);
}

TEST(Program, WhatThisMachineLacksIsSaid) {
  const auto run = [](std::vector<const char*> arguments) {
    const rlimit few{.rlim_cur = 5, .rlim_max = 5};
    setrlimit(RLIMIT_NOFILE, &few);
    std::exit(RunProgram(static_cast<int>(arguments.size()), arguments.data()));
  };
  EXPECT_EXIT(run({"headrace", "engine", "--gpu", "a10", "--listen", "127.0.0.1:0"}),
              ::testing::ExitedWithCode(1), "headrace: .*Too many open files.\n");
  EXPECT_EXIT(run({"headrace", "load", "--model", "m", "--rate", "1", "--class",
                   "a: share=1, prompt=30, output=3"}),
              ::testing::ExitedWithCode(1), "A load needs 17 open files and sockets, and this ");
  EXPECT_EXIT(run({"headrace", "profile", "measure", "--model", "m", "--deployment", "d", "-o",
                   "/dev/null", "--endpoint", "127.0.0.1:1"}),
              ::testing::ExitedWithCode(1), "profile measure needs 17 open files and sockets");
}

TEST(Program, SuggestsWhatIsMeant) {
  EXPECT_EQ(Execute({"srve", "--config", "x"}).err,
            "headrace: \"srve\" is not known; did you mean serve?\n");
  EXPECT_EQ(Execute({"serve", "--confg", "x"}).err,
            "headrace serve: \"--confg\" is not known; did you mean --config?\n");
  EXPECT_EQ(Execute({"serve", "--confg=x"}).err,
            "headrace serve: \"--confg\" is not known; did you mean --config?\n");
  EXPECT_EQ(Execute({"config", "chek", "x"}).err,
            "headrace config: \"chek\" is not known; did you mean check?\n");
  EXPECT_EQ(Execute({"profile", "measure", "--modle", "m"}).err,
            "headrace profile measure: \"--modle\" is not known; did you mean --model?\n");
  EXPECT_EQ(Execute({"load", "--model", "m", "--wrkload", "x"}).err,
            "headrace load: \"--wrkload\" is not known; did you mean --workload?\n");
  EXPECT_THAT(Execute({"config", "explain"}).err,
              HasSubstr("headrace config: \"explain\" is not known; choose one of check, diff"));
}

}  // namespace
}  // namespace headrace::cli
