#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "admin/admin_access.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "config/difference.h"
#include "discovery/profile_files.h"
#include "gateway/configured_endpoints.h"
#include "gateway/configured_keys.h"
#include "gateway/listener_tls.h"
#include "gateway/trace_exporter.h"
#include "routing/policy.h"
#include "system/address.h"
#include "system/privileges.h"

namespace headrace::cli {
namespace {

std::string Count(std::size_t number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

// What is no fault of the file, but may be one where it is used.
void Warn(const std::string& path, const config::Config& config) {
  for (const auto& [option, address] :
       {std::pair{"listen", config.listen.address}, {"admin", config.admin.address}}) {
    const auto listener = system::ParseHostPort(address);
    if (!listener || system::MayListenOn(listener->port)) continue;
    Print(stderr, path + ": " + option + " is " + address +
                      ", and this user may not listen on a port that low; give a port from " +
                      std::to_string(system::FirstOpenPort()) +
                      ", or run the gateway with the capability CAP_NET_BIND_SERVICE\n");
  }
  for (const config::ModelConfig& model : config.models) {
    const routing::PolicyNeeds needs = routing::FindPolicy(model.policy)->needs;
    const bool by_profile =
        needs == routing::PolicyNeeds::kLoad || needs == routing::PolicyNeeds::kSlo;
    for (const config::DeploymentConfig& deployment : model.deployments) {
      // Which profiles it stands for shows where Kubernetes does.
      const bool stands_for_others =
          deployment.name == config::kAny || deployment.profile.find('{') != std::string::npos;
      if (stands_for_others) continue;
      const auto file = config::ProfileFileOf(config, deployment);
      if (!file || (!by_profile && deployment.profile == deployment.name)) continue;
      discovery::ProfileFiles source({*file});
      source.Refresh(0);
      const std::string& error = source.readings().front().error;
      if (!error.empty()) Print(stderr, path + ": " + error + "\n");
    }
  }
  for (const std::string& warning : gateway::EndpointWarnings(config)) {
    Print(stderr, path + ": " + warning + "\n");
  }
}

void Check(const std::string& path) {
  const config::Config config = OrStop(LoadConfigFile(path));
  const auto endpoints_fit = gateway::CheckEndpoints(config);
  if (!endpoints_fit) Stop(path + ": " + endpoints_fit.error().message);
  OrStop(gateway::ListenerTls::CheckFiles(config));
  OrStop(gateway::TraceExporter::CheckFiles(config.tracing));
  OrStop(admin::AdminAccess::CheckFile(config.admin));
  const auto keys = OrStop(gateway::ConfiguredKeys(config));
  std::size_t deployments = 0;
  std::size_t endpoints = 0;
  for (const config::ModelConfig& model : config.models) {
    deployments += model.deployments.size();
    for (const config::DeploymentConfig& deployment : model.deployments) {
      endpoints += deployment.endpoints.size();
    }
  }
  const bool found = std::ranges::any_of(
      config.models, [](const auto& model) { return model.kubernetes.has_value(); });
  Print(stdout, path + ": valid; " + Count(config.models.size(), "model") + ", " +
                    Count(deployments, "deployment") + ", " + Count(endpoints, "endpoint") +
                    (found ? " and those that Kubernetes has" : "") +
                    (keys ? ", " + Count(keys->keys.size(), "API key") : "") + "\n");
  Warn(path, config);
}

// Exit statuses of `diff`.
constexpr int kDiffer = 1;
constexpr int kTrouble = 2;

// Both as if they were in the first one's place, so that relative paths are the same in both.
void Diff(const std::string& before, const std::string& after) {
  const config::Config old = OrStop(LoadConfigFile(before), kTrouble);
  const std::string text = OrStop(ReadConfigFile(after), kTrouble);
  OrStop(ParseConfig(text, after), kTrouble);
  const config::Config changed = OrStop(ParseConfig(text, before), kTrouble);

  using Kind = config::OptionChange::Kind;
  const std::vector<config::OptionChange> changes = config::Difference(old, changed);
  std::string lines;
  std::size_t live = 0;
  for (const config::OptionChange& change : changes) {
    const auto value = [](const std::string& text) { return text.empty() ? "…" : text; };
    lines +=
        change.path + ": " +
        (change.kind == Kind::kAdded     ? "added"
         : change.kind == Kind::kRemoved ? "removed"
                                         : value(change.before) + " → " + value(change.after)) +
        (change.live ? " (live)" : " (restart)") + "\n";
    if (change.live) ++live;
  }
  if (changes.empty()) return;
  lines += "A running gateway takes over " + std::to_string(live) + " of " +
           Count(changes.size(), "change") +
           (live == changes.size() ? "" : "; the rest needs a restart") + ".\n";
  Print(stdout, lines);
  throw CLI::RuntimeError(kDiffer);
}

}  // namespace

void AddConfigCommand(CLI::App& app) {
  CLI::App* const config = app.add_subcommand("config", "Check or explain the configuration file");
  config->require_subcommand(1);

  CLI::App* const check =
      config->add_subcommand("check", "Report every error of a file, with lines");
  const auto path = std::make_shared<std::string>();
  check->add_option("FILE", *path, "The configuration file")->required();
  check->callback([path] { Check(*path); });

  CLI::App* const diff = config->add_subcommand(
      "diff",
      "Say in which options two files differ, and what a running gateway takes over.\n"
      "Exit status: 0 the same, 1 they differ, 2 a file is not valid.");
  const auto before = std::make_shared<std::string>();
  const auto after = std::make_shared<std::string>();
  diff->add_option("BEFORE", *before, "The configuration file")->required();
  diff->add_option("AFTER", *after, "The one to take its place")->required();
  diff->callback([before, after] { Diff(*before, *after); });

  CLI::App* const schema =
      config->add_subcommand("schema", "Print the JSON Schema of the file, for editors");
  schema->callback([] { Print(stdout, config::ConfigSchemaJson(PolicyNames())); });

  CLI::App* const reference =
      config->add_subcommand("reference", "Print the reference of all options as Markdown");
  reference->callback([] { Print(stdout, config::ConfigReferenceMarkdown()); });
}

}  // namespace headrace::cli
