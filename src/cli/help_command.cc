// `completion` and `man`: what packages install beside the program.
#include <memory>
#include <string>

#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "system/files.h"

namespace headrace::cli {
namespace {

void WritePages(const CommandNode& program, const std::string& folder) {
  const auto write = [&](const CommandNode& command) {
    OrStop(system::WriteFile(folder + "/" + command.Name('-') + ".1", ManualPage(command)));
  };
  write(program);
  for (const CommandNode& command : program.commands) write(command);
}

}  // namespace

void AddCompletionCommand(CLI::App& app) {
  CLI::App* const completion =
      app.add_subcommand("completion", "Print the completion of the arguments for a shell");
  completion->require_subcommand(1);
  const auto add = [&](const char* shell, const char* text,
                       std::string (*print)(const CommandNode&)) {
    completion->add_subcommand(shell, text)->callback([&app, print] {
      Print(stdout, print(DescribeCommands(app)));
    });
  };
  add("bash", "for bash: source <(headrace completion bash)", BashCompletion);
  add("zsh", "for zsh: source <(headrace completion zsh)", ZshCompletion);
  add("fish", "for fish: headrace completion fish | source", FishCompletion);
}

void AddManCommand(CLI::App& app) {
  CLI::App* const man =
      app.add_subcommand("man", "Print a manual page: headrace man serve | man -l -");
  const auto name = std::make_shared<std::string>();
  const auto folder = std::make_shared<std::string>();
  man->add_option("COMMAND", *name, "The command; none: the program's own page");
  man->add_option("--out", *folder, "Write every page to this folder instead")->type_name("DIR");
  man->callback([&app, name, folder] {
    const CommandNode program = DescribeCommands(app);
    if (!folder->empty()) return WritePages(program, *folder);
    if (name->empty()) return Print(stdout, ManualPage(program));
    for (const CommandNode& command : program.commands) {
      if (command.name() == *name) return Print(stdout, ManualPage(command));
    }
    Stop("there is no command \"" + *name + "\"; headrace --help lists them");
  });
}

}  // namespace headrace::cli
