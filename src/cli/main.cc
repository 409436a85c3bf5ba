#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/commands.h"

namespace {

int Run(int argc, char** argv) {
  CLI::App app("SLO-aware router for LLM inference on mixed GPUs.", "headrace");
  app.set_version_flag("--version", "headrace " HEADRACE_VERSION);
  app.require_subcommand(1);
  headrace::cli::AddDemoCommand(app);
  headrace::cli::AddServeCommand(app);
  headrace::cli::AddEngineCommand(app);
  headrace::cli::AddLoadCommand(app);
  headrace::cli::AddProfileCommand(app);
  headrace::cli::AddSimulateCommand(app);
  headrace::cli::AddConfigCommand(app);
  CLI11_PARSE(app, argc, argv);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int status = Run(argc, argv);
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  std::fputs("The output cannot be written in full; is the disk full?\n", stderr);
  return status != 0 ? status : 1;
}
