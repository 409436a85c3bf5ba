// What every subcommand does with numbers that nobody means.
#include <gmock/gmock.h>

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/test_numbers.h"
#include "cli/program.h"

namespace headrace::cli {
namespace {

// The type names of options whose values are numbers, and of the others.
const std::set<std::string> kNumbers{"FLOAT",  "INT",      "UINT",     "TIME",   "RATE", "N",
                                     "TOKENS", "TOKENS,…", "X,…",      "FACTOR", "P",    "PRICE",
                                     "T",      "RATE,…",   "FACTOR,…", "N,…",    "P,…"};
const std::set<std::string> kTexts{"",     "TEXT",     "NAME",    "NAME,…", "FILE", "DIR",
                                   "URL",  "PLACE",    "HEADER",  "TARGET", "WHEN", "API",
                                   "HOST", "ENDPOINT", "ADDRESS", "UNIT",   "ID"};

struct NumberOption {
  std::vector<std::string> command;
  std::string option;
  bool seed = false;
};

// The whole program, which does nothing: every command lacks an option. (Commands without their
// callbacks would lack what their options write to.)
struct Program {
  Program() { Disarm(*app); }
  static void Disarm(CLI::App& command) {
    command.add_option("--never-given")->required();
    for (CLI::App* sub : command.get_subcommands(nullptr)) Disarm(*sub);
  }

  std::unique_ptr<CLI::App> app = MakeProgram();
};

void Collect(const CLI::App& command, const std::vector<std::string>& path,
             std::vector<NumberOption>& found) {
  for (const CLI::Option* option : command.get_options()) {
    // What stands behind a colon is what a check adds.
    const std::string full = option->get_type_name();
    const std::string type = full.substr(0, full.find(':'));
    if (kNumbers.contains(type)) {
      found.push_back({path, option->get_name(), option->get_name() == "--seed"});
    } else {
      EXPECT_TRUE(kTexts.contains(type))
          << option->get_name() << " has the new type " << type << "; add it above";
    }
  }
  for (const CLI::App* sub : command.get_subcommands(nullptr)) {
    std::vector<std::string> below = path;
    // Option groups have no name.
    if (!sub->get_name().empty()) below.push_back(sub->get_name());
    Collect(*sub, below, found);
  }
}

// The sentence that refuses the value; empty if it is taken.
std::string Refusal(const NumberOption& option, std::string_view value) {
  Program program;
  std::vector<std::string> arguments = option.command;
  arguments.push_back(option.option + "=" + std::string(value));
  std::ranges::reverse(arguments);
  try {
    program.app->parse(arguments);
  } catch (const CLI::ValidationError& error) {
    return error.what();
  } catch (const CLI::ConversionError& error) {
    return error.what();
  } catch (const CLI::ArgumentMismatch& error) {
    return error.what();
  } catch (const CLI::Error&) {
    return "";  // It lacks something else.
  }
  return "";
}

TEST(Numbers, EveryOptionHasARange) {
  std::vector<NumberOption> options;
  Collect(*Program().app, {}, options);
  EXPECT_GT(options.size(), 40U);
  for (const NumberOption& option : options) {
    for (const std::string_view value : kNeverNumbers) {
      const std::string refusal = Refusal(option, value);
      EXPECT_THAT(refusal, testing::HasSubstr(option.option)) << value;
      EXPECT_EQ(refusal.find('\n'), refusal.npos) << refusal;
    }
    for (const std::string_view value : kExtremeNumbers) Refusal(option, value);
  }
}

}  // namespace
}  // namespace headrace::cli
