#include "cli/commands.h"

namespace headrace::cli {

void AddProfileCommand(CLI::App& app) {
  CLI::App* profile = app.add_subcommand(
      "profile", "GPU profiles: what a GPU type can do for a model within the SLO.");
  profile->require_subcommand(1);
  AddMeasureCommand(*profile);
  AddImportCommand(*profile);
  AddGenerateCommand(*profile);
  AddCheckCommand(*profile);
  AddShowCommand(*profile);
  AddListCommand(*profile);
  AddPushCommand(*profile);
  AddPullCommand(*profile);
}

}  // namespace headrace::cli
