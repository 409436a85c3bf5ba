#include "cli/config_command.h"

#include <iostream>
#include <memory>
#include <string_view>
#include <vector>

#include "routing/policy.h"
#include "system/files.h"

namespace headrace::cli {
namespace {

std::string Count(std::size_t number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

void Check(const std::string& path) {
  const Result<config::Config> config = LoadConfigFile(path);
  if (!config) {
    std::cerr << config.error().message << "\n";
    throw CLI::RuntimeError(1);
  }
  std::size_t deployments = 0;
  std::size_t endpoints = 0;
  for (const config::ModelConfig& model : config->models) {
    deployments += model.deployments.size();
    for (const config::DeploymentConfig& deployment : model.deployments) {
      endpoints += deployment.endpoints.size();
    }
  }
  std::cout << path << ": valid; " << Count(config->models.size(), "model") << ", "
            << Count(deployments, "deployment") << ", " << Count(endpoints, "endpoint") << "\n";
}

}  // namespace

Result<config::Config> LoadConfigFile(const std::string& path) {
  const Result<std::string> text = system::ReadFile(path);
  if (!text) return tl::unexpected<Error>(text.error());
  std::vector<std::string_view> policies;
  for (const routing::PolicyInfo& policy : routing::Policies()) policies.push_back(policy.name);
  return config::LoadConfig(*text, path, policies);
}

void AddConfigCommand(CLI::App& app) {
  CLI::App* const config = app.add_subcommand("config", "Check or explain the configuration file");
  config->require_subcommand(1);

  CLI::App* const check = config->add_subcommand("check", "Say every fault of a file, with lines");
  const auto path = std::make_shared<std::string>();
  check->add_option("FILE", *path, "The configuration file")->required();
  check->callback([path] { Check(*path); });

  CLI::App* const reference =
      config->add_subcommand("reference", "Print the reference of all options, as Markdown");
  reference->callback([] { std::cout << config::ConfigReferenceMarkdown(); });
}

}  // namespace headrace::cli
