#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "render/trace_view.h"
#include "system/files.h"
#include "workload/trace.h"
#include "workload/trace_summary.h"

namespace headrace::cli {
namespace {

struct Arguments {
  std::string file;
  std::string time_unit;
  Tokens context = 0;
  std::string html;
};

void Describe(const Arguments& arguments) {
  OrStop(system::CheckWritable(arguments.html));
  std::optional<Seconds> unit;
  if (!arguments.time_unit.empty()) unit = workload::TimeUnitOf(arguments.time_unit);
  const std::string name = system::InputName(arguments.file);
  workload::RequestFile file =
      OrStop(workload::ReadRequests(OrStop(system::ReadFile(arguments.file)), name, unit));
  render::TraceView view{.name = name,
                         .format = file.format,
                         .summary = workload::Summarize(file),
                         .notes = std::move(file.notes)};
  if (arguments.context > 0) {
    const auto [prompts, outputs] = workload::CountBeyond(file.rows, arguments.context);
    view.notes.push_back("of a context of " + std::to_string(arguments.context) + " tokens, " +
                         std::to_string(prompts) + " prompts leave no room for a response, and " +
                         std::to_string(outputs) + " responses are cut");
  }
  if (!arguments.html.empty()) OrStop(system::WriteFile(arguments.html, render::RenderHtml(view)));
  constexpr std::size_t kUsualWidth = 100;
  Print(stdout, render::RenderText(view, TerminalWidth(STDOUT_FILENO, kUsualWidth)));
}

}  // namespace

void AddTraceCommand(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "trace",
      "Describe a file of recorded requests: rate over time, bursts and lengths. It reads what\n"
      "`load` and `simulate` read as a trace, or for lengths alone.");
  command
      ->add_option("file", arguments->file,
                   "CSV or JSON, gzip or plain; - = stdin (docs/traces.md lists the formats)")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--time-unit", arguments->time_unit,
                   "Of times that are numbers and whose name does not tell it: s, ms, us or ns")
      ->check(Quiet(CLI::IsMember({"s", "ms", "us", "ns"})))
      ->type_name("UNIT");
  command
      ->add_option("--max-model-len", arguments->context,
                   "Count the requests that do not fit into this context")
      ->check(Quiet(CLI::Range(2, 1 << 24)))
      ->type_name("TOKENS");
  command->add_option("--html", arguments->html, "Also write a web page")->type_name("FILE");
  command->callback([arguments] { Describe(*arguments); });
}

}  // namespace headrace::cli
