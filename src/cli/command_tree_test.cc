#include "cli/command_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "system/files.h"
#include "system/temporary_folder.h"

namespace headrace::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// The program's own arguments, and a program of two commands.
class CommandTreeTest : public testing::Test {
 protected:
  CommandTreeTest() {
    AddServeCommand(headrace_);
    AddProfileCommand(headrace_);
    AddConfigCommand(headrace_);
    program_ = DescribeCommands(headrace_);
  }

  // What bash offers after these words.
  std::string Completed(const std::string& words) {
    const system::TemporaryFolder folder;
    const std::string script = folder.path() / "completion";
    EXPECT_TRUE(system::WriteFile(script, BashCompletion(program_)));
    const std::string command = "bash -c 'source " + script + "; COMP_WORDS=(" + words +
                                " \"\"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _headrace; "
                                "echo -n \"${COMPREPLY[*]}\"' 2>&1";
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::string output;
    std::array<char, 4096> buffer;
    while (const std::size_t read = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) {
      output.append(buffer.data(), read);
    }
    return output;
  }

  CLI::App headrace_{"A router.", "headrace"};
  CommandNode program_;
};

TEST_F(CommandTreeTest, BashOffersTheCommandsAndTheirOptions) {
  EXPECT_EQ(Completed("headrace"), "-h --help serve profile config");
  EXPECT_THAT(Completed("headrace serve"), HasSubstr("--config"));
  EXPECT_THAT(Completed("headrace profile"), AllOf(HasSubstr("measure"), Not(HasSubstr("--gpu"))));
  EXPECT_THAT(Completed("headrace profile measure"), HasSubstr("--gpu"));
}

TEST_F(CommandTreeTest, BashOffersFilesWhereOneIsTaken) {
  EXPECT_THAT(Completed("headrace serve --config"), HasSubstr("CMakeLists.txt"));
  EXPECT_THAT(Completed("headrace config check"), HasSubstr("CMakeLists.txt"));
  EXPECT_EQ(Completed("headrace profile measure --seed"), "");
}

TEST_F(CommandTreeTest, EveryCommandIsInEveryShell) {
  for (const std::string& script : {ZshCompletion(program_), FishCompletion(program_)}) {
    for (const char* word : {"serve", "profile", "measure", "config", "check"}) {
      EXPECT_THAT(script, HasSubstr(word));
    }
  }
}

TEST_F(CommandTreeTest, APageTellsOfTheCommandsBelow) {
  const std::string page = ManualPage(program_.commands[1]);
  EXPECT_THAT(page, AllOf(HasSubstr(".TH HEADRACE-PROFILE 1"), HasSubstr(".SS headrace profile"),
                          HasSubstr("\\fB\\-\\-deployment\\fR")));
}

}  // namespace
}  // namespace headrace::cli
