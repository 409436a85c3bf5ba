#include "cli/profile_command.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark_rows.h"
#include "benchmark/generate.h"
#include "cli/console.h"
#include "cli/import_command.h"
#include "cli/measure_command.h"
#include "cli/profile_options.h"
#include "cli/transfer_command.h"
#include "discovery/stored_profiles.h"
#include "profile/check.h"
#include "profile/gpu_profile.h"
#include "render/profile_view.h"
#include "system/clock.h"
#include "system/files.h"

namespace headrace::cli {
namespace {

Seconds Now() { return system::UnixNow(); }

std::string FaultLine(const profile::ProfileFault& fault) {
  const bool error = fault.severity == profile::ProfileFault::Severity::kError;
  return (error ? "error    " : "warning  ") + fault.message + "\n";
}

struct GenerateArguments {
  std::string benchmark;
  std::string target = "-";
  benchmark::GenerateOptions options;
  std::optional<Seconds> created;
};

// What was left out of the benchmark, and every cell that is 0 or may be too low, in sentences.
void Report(const benchmark::Benchmark& benchmark, const benchmark::GeneratedProfile& generated) {
  if (benchmark.repeated_rows > 0) {
    Print(stderr, std::to_string(benchmark.repeated_rows) +
                      " repeated rows were left out: the first of each kind counts.\n");
  }
  if (benchmark.unknown_metric_rows > 0) {
    Print(stderr, std::to_string(benchmark.unknown_metric_rows) +
                      " rows were left out: their metric is none of TPUT, TT, E2E, TTFT, TPOT.\n");
  }
  std::size_t zero = 0;
  std::size_t unbounded = 0;
  for (const benchmark::CellReport& cell : generated.cells) {
    unbounded += cell.unbounded;
    if (cell.why_zero.empty()) continue;
    ++zero;
    Print(stderr, "output " + std::to_string(cell.output_tokens) + ", input " +
                      std::to_string(cell.input_tokens) + " tokens: 0, because " + cell.why_zero +
                      ".\n");
  }
  Print(stderr, std::to_string(generated.cells.size() - zero) + " of " +
                    std::to_string(generated.cells.size()) + " cells meet the SLO.\n");
  if (unbounded > 0) {
    Print(stderr, "In " + std::to_string(unbounded) +
                      " of them even the highest rate measured was fine; measure higher rates to "
                      "find the limit.\n");
  }
}

void Generate(GenerateArguments& arguments) {
  const std::string text = OrStop(system::ReadFile(arguments.benchmark));
  const benchmark::Benchmark benchmark =
      OrStop(benchmark::ParseBenchmark(text, arguments.benchmark));
  arguments.options.created = arguments.created.value_or(Now());
  const benchmark::GeneratedProfile generated =
      OrStop(benchmark::GenerateProfile(benchmark, arguments.options));
  Report(benchmark, generated);
  if (!profile::HasUsableCell(generated.profile)) {
    Stop(
        "No profile was written, because no request could be routed by it; loosen the SLO or "
        "measure lower request rates.");
  }
  const std::string written =
      OrStop(discovery::WriteProfile(profile::FormatGpuProfile(generated.profile),
                                     arguments.options.deployment, arguments.target));
  for (const profile::ProfileFault& fault :
       profile::CheckProfile(generated.profile, written, Now())) {
    Print(stderr, FaultLine(fault));
  }
  if (written != "-") Print(stderr, "Wrote " + written + ".\n");
}

void Check(const std::vector<std::string>& paths) {
  std::size_t refused = 0;
  std::size_t errors = 0;
  std::size_t warnings = 0;
  const std::vector<render::ProfileView> views = ViewProfiles(paths, Now(), stdout, refused);
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
  render::TextStyle style;
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  const char* no_color = std::getenv("NO_COLOR");  // https://no-color.org
  const bool wanted = terminal && (no_color == nullptr || *no_color == '\0');
  style.color = color == "always" || (color == "auto" && wanted);
  winsize size{};
  if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.width = size.ws_col;
  }
  return style;
}

void Show(const ShowArguments& arguments) {
  std::size_t refused = 0;
  const std::vector<render::ProfileView> views =
      ViewProfiles(arguments.paths, Now(), stderr, refused);
  if (!views.empty()) {
    if (arguments.html.empty()) {
      Print(stdout, render::RenderText(views, StyleOf(arguments.color)));
    } else {
      OrStop(system::WriteFile(arguments.html, render::RenderHtml(views)));
    }
  }
  if (refused > 0) throw CLI::RuntimeError(1);
}

void AddGenerate(CLI::App& profile) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* command = profile.add_subcommand(
      "generate",
      "Make a profile from a benchmark: per cell of output and input tokens, the highest request\n"
      "rate at which every SLO holds. The rules and the format are AIBrix's.");
  command
      ->add_option("--benchmark", arguments->benchmark, "Benchmark JSONL, gzip or plain; - = stdin")
      ->required()
      ->type_name("FILE");
  benchmark::GenerateOptions& options = arguments->options;
  command->add_option("--deployment", options.deployment, "Deployment that was measured")
      ->required()
      ->type_name("NAME");
  command->add_option("--cost", options.cost, "Price of one unit of GPU time")
      ->check(Quiet(CLI::NonNegativeNumber))
      ->capture_default_str()
      ->type_name("PRICE");
  AddSloOptions(*command, options.slo);
  command->add_option("--created", arguments->created, "Time stamp, Unix seconds; default: now")
      ->type_name("T");
  command
      ->add_option("-o,--output", arguments->target,
                   "File, DIRECTORY/ (→ NAME.json in it) or redis://HOST?model=M; - = stdout")
      ->capture_default_str()
      ->type_name("TARGET");
  command->callback([arguments] { Generate(*arguments); });
}

void AddCheck(CLI::App& profile) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App* command = profile.add_subcommand(
      "check",
      "Say everything that is wrong or odd in profiles, with its cell and its mend. Exit status 1\n"
      "when a profile is refused or has lost something, 0 when there are at most warnings.");
  command->add_option("places", *paths, kPlaces)->required()->type_name("PLACE");
  command->callback([paths] { Check(*paths); });
}

void AddShow(CLI::App& profile) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App* command = profile.add_subcommand("show",
                                             "Show profiles side by side: throughput, latencies "
                                             "and headroom to the SLO per cell, as heat\n"
                                             "maps in the terminal or as a web page.");
  command->add_option("places", arguments->paths, kPlaces)->required()->type_name("PLACE");
  command->add_option("--html", arguments->html, "Write one self-contained page instead")
      ->type_name("FILE");
  command->add_option("--color", arguments->color, "Colours in the terminal: auto, always, never")
      ->check(Quiet(CLI::IsMember({"auto", "always", "never"})))
      ->capture_default_str()
      ->type_name("WHEN");
  command->callback([arguments] { Show(*arguments); });
}

}  // namespace

void AddProfileCommand(CLI::App& app) {
  CLI::App* profile = app.add_subcommand(
      "profile", "GPU profiles: what a GPU type can do for a model within the SLO.");
  profile->require_subcommand(1);
  AddMeasure(*profile);
  AddImport(*profile);
  AddGenerate(*profile);
  AddCheck(*profile);
  AddShow(*profile);
  AddList(*profile);
  AddPush(*profile);
  AddPull(*profile);
}

}  // namespace headrace::cli
