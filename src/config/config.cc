#include "config/config.h"

#include <filesystem>
#include <map>
#include <utility>

#include "config/config_reader.h"
#include "config/config_schema.h"

namespace headrace::config {
namespace {

// Relative to the folder of the configuration file; the file system is not read.
std::string ResolvePath(const std::string& path, const std::string& file_name) {
  return (std::filesystem::path(file_name).parent_path() / path).lexically_normal().string();
}

void AddGroups(const std::vector<OptionDoc>& docs, const std::string& group,
               std::multimap<std::string, std::string>& groups) {
  for (const OptionDoc& doc : docs) {
    groups.emplace(doc.name, group);
    const std::string list = doc.kind == OptionDoc::Kind::kGroups ? "[]" : "";
    AddGroups(doc.children, (group.empty() ? "" : group + ".") + doc.name + list, groups);
  }
}

void ResolvePaths(AccessConfig& access, const std::string& file_name) {
  if (access.api_key_file) *access.api_key_file = ResolvePath(*access.api_key_file, file_name);
  if (!access.tls) return;
  for (std::string* path : {&access.tls->ca, &access.tls->certificate, &access.tls->key}) {
    if (!path->empty()) *path = ResolvePath(*path, file_name);
  }
}

}  // namespace

Result<Config> LoadConfig(std::string_view text, const std::string& file_name,
                          std::span<const std::string_view> policies,
                          const Environment& environment) {
  ConfigReader reader(file_name, "the configuration", environment);
  Config config;
  const OptionGroup<Config> schema = ConfigSchema(policies);
  std::multimap<std::string, std::string> groups;
  AddGroups(schema.Docs(), "", groups);
  reader.SetGroups(std::move(groups));
  if (const YamlRef root = reader.Parse(text)) schema.Read(config, *root, reader);
  if (reader.faults() > 0) return Fail(reader.FaultText());

  config.profiles.directory = ResolvePath(config.profiles.directory, file_name);
  if (!config.api_keys.empty()) config.api_keys = ResolvePath(config.api_keys, file_name);
  if (!config.kubernetes.kubeconfig.empty()) {
    config.kubernetes.kubeconfig = ResolvePath(config.kubernetes.kubeconfig, file_name);
  }
  for (std::string* path :
       {&config.listen.certificate, &config.listen.key, &config.listen.client_ca,
        &config.admin.certificate, &config.admin.key, &config.admin.client_ca,
        &config.admin.token_file, &config.extproc.certificate, &config.extproc.key}) {
    if (!path->empty()) *path = ResolvePath(*path, file_name);
  }
  for (ModelConfig& model : config.models) {
    for (DeploymentConfig& deployment : model.deployments) {
      ResolvePaths(deployment, file_name);
      for (EndpointConfig& endpoint : deployment.endpoints) ResolvePaths(endpoint, file_name);
      // A name may contain a slash (`meta-llama/…`): only a profile that was given can be a path.
      if (deployment.profile.empty()) {
        deployment.profile = deployment.name;
      } else if (deployment.profile.find('/') != std::string::npos) {
        deployment.profile = ResolvePath(deployment.profile, file_name);
      }
    }
  }
  return config;
}

std::optional<std::string> ProfileFileOf(const Config& config, const DeploymentConfig& deployment) {
  // A name with a slash is a path; of a profile that was not given, the deployment's is a name.
  const bool path =
      deployment.profile != deployment.name && deployment.profile.find('/') != std::string::npos;
  if (path) return deployment.profile;
  if (config.profiles.source != ProfilesConfig::Source::kDirectory) return std::nullopt;
  std::string file = deployment.profile.empty() ? deployment.name : deployment.profile;
  if (!file.ends_with(".json")) file += ".json";
  return (std::filesystem::path(config.profiles.directory) / file).string();
}

}  // namespace headrace::config
