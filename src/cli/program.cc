#include "cli/program.h"

#include <fcntl.h>

#include <csignal>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "cli/console.h"
#include "config/config_reader.h"
#include "config/option_form.h"

namespace headrace::cli {
namespace {

// The innermost subcommand that was named.
const CLI::App* Named(const CLI::App* app) {
  for (const CLI::App* sub : app->get_subcommands()) {
    if (!sub->get_name().empty()) return Named(sub);
  }
  return app;
}

// What could be written in its place: options or subcommands.
void AddNames(const CLI::App& command, bool options, std::vector<std::string>& names) {
  if (options) {
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  for (const CLI::App* sub : command.get_subcommands(nullptr)) {
    if (sub->get_name().empty()) {
      AddNames(*sub, options, names);  // A group of options.
    } else if (!options) {
      names.push_back(sub->get_name());
    }
  }
}

std::string CommandOf(const CLI::App& command) {
  return command.get_parent() == nullptr
             ? command.get_name()
             : CommandOf(*command.get_parent()) + " " + command.get_name();
}

// About a word that is neither an option nor a subcommand; empty if that is not what is wrong.
std::string WhyUnknown(const CLI::App& app) {
  const std::vector<std::string> left = app.remaining(true);
  if (left.empty()) return "";
  const CLI::App& command = *Named(&app);
  const bool option = left.front().starts_with("--");
  std::vector<std::string> names;
  AddNames(command, option, names);
  if (names.empty()) return "";
  const std::string word = option ? left.front().substr(0, left.front().find('=')) : left.front();
  return CommandOf(command) + ": " + config::Quote(word) + " " +
         config::NotOneOf(word, std::vector<std::string_view>(names.begin(), names.end())) + "\n";
}

// The next file that is opened would take the place of a standard stream that is closed, and get
// what is meant for that. On these, reading and writing fail as on a closed one.
void HoldClosedStreams() {
  for (const int file : {0, 1, 2}) {
    if (fcntl(file, F_GETFD) == -1) open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY);
  }
}

int Run(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& error) {  // By a subcommand, which has said why.
    return error.get_exit_code();
  } catch (const CLI::Error& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version.
    const std::string why = WhyUnknown(app);
    if (why.empty()) {
      app.exit(error);
    } else {
      Print(stderr, why);
    }
    return kMisused;
  } catch (const std::exception& error) {  // What this machine lacks: files, threads, memory.
    Print(stderr, std::string("headrace: ") + error.what() + ".\n");
    return kFailed;
  }
  return 0;
}

}  // namespace

std::unique_ptr<CLI::App> MakeProgram() {
  auto app =
      std::make_unique<CLI::App>("SLO-aware router for LLM inference on mixed GPUs.", "headrace");
  app->set_version_flag("--version", "headrace " HEADRACE_VERSION);
  app->require_subcommand(1);
  AddDemoCommand(*app);
  AddServeCommand(*app);
  AddReloadCommand(*app);
  AddDrainCommand(*app);
  AddResumeCommand(*app);
  AddTopCommand(*app);
  AddExplainCommand(*app);
  AddEngineCommand(*app);
  AddLoadCommand(*app);
  AddProfileCommand(*app);
  AddTraceCommand(*app);
  AddSimulateCommand(*app);
  AddConfigCommand(*app);
  AddKeyCommand(*app);
  AddCompletionCommand(*app);
  AddManCommand(*app);
  return app;
}

int RunProgram(int argc, const char* const* argv) {
  // Who reads no more of what is printed must not end a run whose results go to files.
  std::signal(SIGPIPE, SIG_IGN);
  HoldClosedStreams();
  const int status = Run(*MakeProgram(), argc, argv);
  if (!IsLost(stdout)) return status;
  Print(stderr, "The output cannot be written in full; is the disk full?\n");
  return status != 0 ? status : kFailed;
}

}  // namespace headrace::cli
