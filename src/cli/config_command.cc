#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"

namespace headrace::cli {
namespace {

std::string Count(std::size_t number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

void Check(const std::string& path) {
  const config::Config config = OrStop(LoadConfigFile(path));
  std::size_t deployments = 0;
  std::size_t endpoints = 0;
  for (const config::ModelConfig& model : config.models) {
    deployments += model.deployments.size();
    for (const config::DeploymentConfig& deployment : model.deployments) {
      endpoints += deployment.endpoints.size();
    }
  }
  Print(stdout, path + ": valid; " + Count(config.models.size(), "model") + ", " +
                    Count(deployments, "deployment") + ", " + Count(endpoints, "endpoint") + "\n");
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

  CLI::App* const reference =
      config->add_subcommand("reference", "Print the reference of all options as Markdown");
  reference->callback([] { Print(stdout, config::ConfigReferenceMarkdown()); });
}

}  // namespace headrace::cli
