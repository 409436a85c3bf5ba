// headrace profile check | show | list
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "profile/check.h"
#include "render/profile_view.h"
#include "system/clock.h"
#include "system/files.h"

namespace headrace::cli {
namespace {

void Check(const std::vector<std::string>& paths) {
  std::size_t refused = 0;
  std::size_t errors = 0;
  std::size_t warnings = 0;
  const std::vector<render::ProfileView> views =
      ViewProfiles(paths, system::UnixNow(), stdout, refused);
  for (const render::ProfileView& view : views) {
    for (const profile::ProfileFault& fault : view.faults) {
      ++(fault.severity == profile::ProfileFault::Severity::kError ? errors : warnings);
      Print(stdout, FaultLine(fault));
    }
    if (view.faults.empty()) Print(stdout, "ok       " + view.origin + "\n");
  }
  Print(stdout, std::to_string(views.size() + refused) + " profiles: " + std::to_string(refused) +
                    " refused, " + std::to_string(errors) + " errors, " + std::to_string(warnings) +
                    " warnings\n");
  if (refused + errors > 0) throw CLI::RuntimeError(1);
}

struct ShowArguments {
  std::vector<std::string> paths;
  std::string html;
  std::string color = "auto";
};

render::TextStyle StyleOf(const std::string& color) {
  render::TextStyle style = OutputStyle();
  if (color != "auto") style.color = color == "always";
  return style;
}

void Show(const ShowArguments& arguments) {
  OrStop(system::CheckWritable(arguments.html));
  std::size_t refused = 0;
  const std::vector<render::ProfileView> views =
      ViewProfiles(arguments.paths, system::UnixNow(), stderr, refused);
  if (!views.empty()) {
    if (arguments.html.empty()) {
      Print(stdout, render::RenderText(views, StyleOf(arguments.color)));
    } else {
      OrStop(system::WriteFile(arguments.html, render::RenderHtml(views)));
    }
  }
  if (refused > 0) throw CLI::RuntimeError(1);
}

void List(const std::vector<std::string>& places) {
  const Seconds now = system::UnixNow();
  std::size_t refused = 0;
  Print(stdout, render::RenderList(ViewProfiles(places, now, stderr, refused), now));
  if (refused > 0) throw CLI::RuntimeError(1);
}

}  // namespace

void AddCheckCommand(CLI::App& profile) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command = profile.add_subcommand(
      "check",
      "Report everything that is wrong or odd in profiles, with the cell and the fix. Exit status "
      "1\n"
      "if a profile is refused or parts of it are ignored, 0 if there are only warnings.");
  AddPlaces(*command, *paths);
  command->callback([paths] { Check(*paths); });
}

void AddShowCommand(CLI::App& profile) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App* command = profile.add_subcommand("show",
                                             "Show profiles side by side: throughput, latencies "
                                             "and headroom to the SLO per cell, as heat\n"
                                             "maps in the terminal or as a web page.");
  AddPlaces(*command, arguments->paths);
  command->add_option("--html", arguments->html, "Write one self-contained page instead")
      ->type_name("FILE");
  command->add_option("--color", arguments->color, "Colours in the terminal: auto, always, never")
      ->check(Quiet(CLI::IsMember({"auto", "always", "never"})))
      ->capture_default_str()
      ->type_name("WHEN");
  command->callback([arguments] { Show(*arguments); });
}

void AddListCommand(CLI::App& profile) {
  auto places = std::make_shared<std::vector<std::string>>();
  CLI::App* command = profile.add_subcommand(
      "list",
      "One line per profile: model, price, age, SLO, number of usable cells. Exit status 1 if a\n"
      "profile cannot be used.");
  AddPlaces(*command, *places);
  command->callback([places] { List(*places); });
}

}  // namespace headrace::cli
