#include "config/config.h"

#include <filesystem>
#include <initializer_list>
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

// Those that are given.
void ResolveAll(std::initializer_list<std::string*> paths, const std::string& file_name) {
  for (std::string* path : paths) {
    if (!path->empty()) *path = ResolvePath(*path, file_name);
  }
}

void ResolvePaths(TlsConfig& tls, const std::string& file_name) {
  ResolveAll({&tls.ca, &tls.certificate, &tls.key}, file_name);
}

void ResolvePaths(ListenerConfig& listener, const std::string& file_name) {
  ResolveAll({&listener.certificate, &listener.key, &listener.client_ca}, file_name);
  for (CertificateConfig& other : listener.certificates) {
    ResolveAll({&other.certificate, &other.key}, file_name);
  }
}

void ResolvePaths(AccessConfig& access, const std::string& file_name) {
  if (access.api_key_file) *access.api_key_file = ResolvePath(*access.api_key_file, file_name);
  if (access.tls) ResolvePaths(*access.tls, file_name);
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
  ResolvePaths(config.tracing.tls, file_name);
  ResolveAll({&config.api_keys, &config.kubernetes.kubeconfig}, file_name);
  ResolvePaths(config.listen, file_name);
  ResolvePaths(config.admin, file_name);
  ResolveAll({&config.admin.token_file, &config.extproc.certificate, &config.extproc.key},
             file_name);
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
