#include "cli/config_command.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "config/config.h"

namespace headrace {
namespace {

Result<Config> ReadConfigFile(const std::string& file_name,
                              std::span<const std::string_view> policies) {
  std::ifstream file(file_name, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return Fail(file_name + ": cannot be read (" + std::strerror(errno) +
                "); check the path and the permissions");
  }
  return LoadConfig(text.str(), file_name, policies);
}

std::string Count(std::size_t number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

void Check(const std::string& file_name, std::span<const std::string_view> policies) {
  const Result<Config> config = ReadConfigFile(file_name, policies);
  if (!config) {
    std::cerr << config.error().message << "\n";
    throw CLI::RuntimeError(1);
  }
  std::size_t deployments = 0;
  std::size_t endpoints = 0;
  for (const ModelConfig& model : config->models) {
    deployments += model.deployments.size();
    for (const DeploymentConfig& deployment : model.deployments) {
      endpoints += deployment.endpoints.size();
    }
  }
  std::cout << file_name << ": valid; " << Count(config->models.size(), "model") << ", "
            << Count(deployments, "deployment") << ", " << Count(endpoints, "endpoint") << "\n";
}

}  // namespace

void AddConfigCommand(CLI::App& app, std::span<const std::string_view> policies) {
  CLI::App* const config = app.add_subcommand("config", "Check or explain the configuration file");
  config->require_subcommand(1);

  CLI::App* const check = config->add_subcommand("check", "Say every fault of a file, with lines");
  const auto file_name = std::make_shared<std::string>();
  check->add_option("FILE", *file_name, "The configuration file")->required();
  const std::vector<std::string_view> names(policies.begin(), policies.end());
  check->callback([file_name, names] { Check(*file_name, names); });

  CLI::App* const reference =
      config->add_subcommand("reference", "Print the reference of all options, as Markdown");
  reference->callback([] { std::cout << ConfigReferenceMarkdown(); });
}

}  // namespace headrace
