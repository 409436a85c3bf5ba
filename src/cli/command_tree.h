// The subcommands and their options as plain data: what completions and manual pages are made of.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace headrace::cli {

struct OptionNode {
  std::vector<std::string> names;  // With their dashes; empty for a positional argument.
  std::string value;               // What it takes, as the help calls it; empty for a flag.
  std::string fallback;            // Without it: what the help says.
  std::string text;
  std::string group;
  bool required = false;
  bool positional = false;

  bool takes_file() const { return value.starts_with("FILE") || value.starts_with("DIR"); }
};

struct CommandNode {
  std::vector<std::string> path;  // {"headrace", "profile", "measure"}
  std::string text;
  std::vector<OptionNode> options;
  std::vector<CommandNode> commands;

  const std::string& name() const { return path.back(); }
  std::string Name(char separator) const;  // The path as one word, or as it is typed.
};

CommandNode DescribeCommands(const CLI::App& app);

// What a shell needs to complete the program's arguments.
std::string BashCompletion(const CommandNode& program);
std::string ZshCompletion(const CommandNode& program);
std::string FishCompletion(const CommandNode& program);

// The page NAME(1), for man; that of a command tells of the commands below it, too.
std::string ManualPage(const CommandNode& command);

}  // namespace headrace::cli
