#include "gateway/kubernetes_models.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>

#include "config/kubeconfig.h"
#include "discovery/kubernetes_profiles.h"
#include "system/clock.h"
#include "system/files.h"

namespace headrace::gateway {
namespace {

using Kind = config::KubernetesSourceConfig::Kind;
using From = discovery::KubernetesSelection::From;

constexpr Seconds kKept = 300;
constexpr std::size_t kLargestKubeconfig = std::size_t{4} << 20;
// Where most engines listen.
constexpr std::uint16_t kDefaultPort = 8000;
constexpr std::string_view kGpu = "{gpu}";

bool NeedsCluster(const config::Config& config) {
  return config.profiles.source == config::ProfilesConfig::Source::kConfigMap ||
         std::ranges::any_of(config.models,
                             [](const auto& model) { return model.kubernetes.has_value(); });
}

discovery::KubernetesAccess::Text TextOf(const config::Kubeconfig::Text& text) {
  return {text.text, text.file};
}

Result<discovery::KubernetesAccess> AccessOf(const config::KubernetesConfig& config) {
  if (config.kubeconfig.empty()) return discovery::AccessOfPod();
  HEADRACE_ASSIGN(const auto text, system::ReadSmallFile(config.kubeconfig, kLargestKubeconfig));
  HEADRACE_ASSIGN(const auto read,
                  config::ParseKubeconfig(text, config.kubeconfig, config.context));
  auto server = system::ParseHttpUrl(read.server);
  if (!server) {
    return Fail(config.kubeconfig + ": the server of the kubeconfig " + server.error().message);
  }
  return discovery::KubernetesAccess{.server = *std::move(server),
                                     .ca = TextOf(read.ca),
                                     .certificate = TextOf(read.certificate),
                                     .key = TextOf(read.key),
                                     .token = TextOf(read.token),
                                     .verify = read.verify,
                                     .server_name = read.server_name,
                                     .name_space = read.name_space};
}

discovery::KubernetesSelection SelectionOf(const config::ModelConfig& model,
                                           const std::string& own_namespace) {
  const config::KubernetesSourceConfig& source = *model.kubernetes;
  discovery::KubernetesSelection selection;
  selection.name = source.from.name;
  selection.namespaces = source.namespaces;
  if (selection.namespaces.empty()) selection.namespaces = {own_namespace};
  if (selection.namespaces.front() == config::kAny) selection.namespaces = {""};
  selection.gpus = std::ranges::any_of(model.deployments, [](const auto& deployment) {
    return deployment.profile.find(kGpu) != std::string::npos;
  });
  selection.ports.ports = source.ports;
  switch (source.from.kind) {
    case Kind::kService:
      selection.from = From::kService;
      return selection;
    case Kind::kInferencePool:
      selection.from = From::kInferencePool;
      return selection;
    case Kind::kPods:
      break;
  }
  selection.ports.label = source.port_label;
  selection.ports.otherwise = kDefaultPort;
  if (model.name == config::kAny) {
    selection.model_label = source.label;
    selection.selector = source.label + (source.selector.empty() ? "" : ",") + source.selector;
  } else {
    selection.selector =
        source.selector.empty() ? source.label + "=" + model.name : source.selector;
  }
  return selection;
}

void Replace(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

struct Place {
  std::string name_space;
  std::string model;  // Its name there.
  std::string gpu;
};

config::DeploymentConfig DeploymentOf(const config::ModelConfig& declared, const std::string& name,
                                      const Place& place) {
  config::DeploymentConfig deployment = DeclaredOf(declared, name);
  const bool unnamed = deployment.profile.empty() || deployment.profile == deployment.name;
  deployment.name = name;
  if (unnamed) deployment.profile = name;
  Replace(deployment.profile, kGpu, place.gpu.empty() ? name : place.gpu);
  Replace(deployment.profile, "{model}", place.model);
  Replace(deployment.profile, "{namespace}", place.name_space);
  Replace(deployment.profile, "{deployment}", name);
  return deployment;
}

// By the order of the namespaces, then by name.
std::size_t RankOf(const std::vector<std::string>& namespaces, const std::string& name) {
  return static_cast<std::size_t>(std::ranges::find(namespaces, name) - namespaces.begin());
}

// The model that the file names is looked for in another namespace.
template <typename Models>
void Rename(const std::string& from, const std::string& to, Models& models) {
  auto model = models.extract({from, ""});
  if (model.empty()) return;
  model.key().first = to;
  models.insert(std::move(model));
}

}  // namespace

config::DeploymentConfig DeclaredOf(const config::ModelConfig& model, const std::string& name) {
  for (const std::string_view wanted : {std::string_view(name), config::kAny}) {
    const auto found =
        std::ranges::find(model.deployments, wanted, &config::DeploymentConfig::name);
    if (found != model.deployments.end()) return *found;
  }
  return {};
}

Result<void> KubernetesModels::SetConfig(const config::Config& config) {
  if (!NeedsCluster(config)) {
    entries_.clear();
    profiles_.reset();
    cluster_.reset();
    return {};
  }
  HEADRACE_ASSIGN(discovery::KubernetesAccess access, AccessOf(config.kubernetes));
  const bool other_access = cluster_ == nullptr || cluster_->access() != access;
  if (other_access) cluster_ = discovery::KubernetesCluster::Open(std::move(access));
  profiles_.reset();
  if (config.profiles.source == config::ProfilesConfig::Source::kConfigMap) {
    profiles_ = discovery::WatchProfiles(*cluster_, config.profiles.configmap);
  }
  const std::vector<Entry> before = std::exchange(entries_, {});
  for (const config::ModelConfig& model : config.models) {
    if (!model.kubernetes) continue;
    discovery::KubernetesSelection selection = SelectionOf(model, cluster_->access().name_space);
    auto known = std::ranges::find_if(
        before, [&](const Entry& entry) { return entry.view->selection() == selection; });
    const bool same = known != before.end();
    if (!same) known = std::ranges::find(before, model.name, &Entry::model);
    Entry& entry = entries_.emplace_back();
    if (known != before.end()) entry = *known;
    entry.model = model.name;
    if (same && !other_access) continue;
    // Asked another way, or for something else, the cluster may not answer at once: the engines
    // that were known stay until it does.
    discovery::KubernetesView::Findings found;
    if (entry.view != nullptr) {
      found = *entry.view->Look();
      const std::string& from = entry.view->selection().namespaces.front();
      const std::string& to = selection.namespaces.front();
      Rename(from, to, found.models);
      Rename(from, to, entry.models);
    }
    entry.view = std::make_shared<discovery::KubernetesView>(
        cluster_, std::move(selection),
        std::make_shared<const discovery::KubernetesView::Findings>(std::move(found)));
  }
  return {};
}

void KubernetesModels::Wait(Seconds most) {
  const Seconds end = system::MonotonicNow() + most;
  for (const Entry& entry : entries_) entry.view->Wait(end - system::MonotonicNow());
}

void KubernetesModels::Remember(Entry& entry, Seconds now) {
  const auto found = entry.view->Look();
  for (const auto& [place, engines] : found->models) {
    Model& model = entry.models[place];
    model.seen = now;
    for (const discovery::KubernetesEngine& engine : engines) {
      Deployment& deployment = model.deployments[engine.deployment];
      // The first of its pods that says it; the next ones may run elsewhere.
      if (deployment.seen != now && !engine.gpu.empty()) deployment.gpu = engine.gpu;
      deployment.seen = now;
    }
  }
  const auto gone = [now](const auto& known) { return now > known.second.seen + kKept; };
  std::erase_if(entry.models, gone);
  for (auto& [place, model] : entry.models) std::erase_if(model.deployments, gone);
}

ServedConfig KubernetesModels::Serve(const config::Config& config, Seconds now) {
  ServedConfig served{.config = config, .origins = {}};
  served.config.models.clear();
  for (Entry& entry : entries_) Remember(entry, now);
  using KnownModel = std::pair<const std::pair<std::string, std::string>, Model>;
  // Names that the file gives; what is found comes after them.
  std::set<std::string> taken;
  for (const config::ModelConfig& model : config.models) {
    if (model.name == config::kAny) continue;
    taken.insert(model.name);
    taken.insert(model.aliases.begin(), model.aliases.end());
    taken.insert(model.adapters.begin(), model.adapters.end());
  }
  auto entry = entries_.begin();
  for (const config::ModelConfig& declared : config.models) {
    if (!declared.kubernetes) {
      served.config.models.push_back(declared);
      served.origins.emplace_back();
      continue;
    }
    const Entry& found = *entry++;
    const std::vector<std::string>& namespaces = found.view->selection().namespaces;
    const auto add = [&](config::ModelConfig model, const std::string& name_space,
                         const std::string& key, const Model* known) {
      std::erase_if(model.deployments,
                    [](const auto& deployment) { return deployment.name == config::kAny; });
      static const Model kNothing;
      for (const auto& [name, deployment] : (known == nullptr ? kNothing : *known).deployments) {
        const auto listed =
            std::ranges::find(model.deployments, name, &config::DeploymentConfig::name);
        config::DeploymentConfig complete =
            DeploymentOf(declared, name,
                         {name_space, model.name_in_keys.empty() ? model.name : model.name_in_keys,
                          deployment.gpu});
        if (listed == model.deployments.end()) {
          model.deployments.push_back(std::move(complete));
        } else {
          *listed = std::move(complete);
        }
      }
      served.config.models.push_back(std::move(model));
      served.origins.push_back({found.view, name_space, key, declared});
    };
    if (declared.name != config::kAny) {
      config::ModelConfig model = declared;
      const auto findings = found.view->Look();
      for (const auto& [name, priority] : findings->objectives) {
        std::erase_if(model.objectives, [&](const auto& known) { return known.name == name; });
        model.objectives.push_back({.name = name, .priority = priority});
      }
      const auto known = found.models.find({namespaces.front(), ""});
      add(std::move(model), namespaces.front(), "",
          known == found.models.end() ? nullptr : &known->second);
      continue;
    }
    std::vector<std::pair<std::size_t, const KnownModel*>> models;
    for (const KnownModel& known : found.models) {
      models.emplace_back(RankOf(namespaces, known.first.first), &known);
    }
    std::ranges::sort(models, {}, [](const auto& ranked) {
      return std::tie(ranked.first, ranked.second->first);
    });
    const bool several = namespaces.size() > 1 || namespaces.front().empty();
    for (const auto& [rank, known] : models) {
      const auto& [name_space, name] = known->first;
      config::ModelConfig model = declared;
      model.name = several ? name_space + "/" + name : name;
      if (!taken.insert(model.name).second) continue;
      if (several) {
        model.engine_name = name;
        model.name_in_keys = name;
        if (taken.insert(name).second) model.aliases = {name};
      }
      add(std::move(model), name_space, name, &known->second);
    }
  }
  return served;
}

Result<void> CheckKubernetes(const config::Config& config) {
  // Whether this is a pod shows where it runs.
  if (!NeedsCluster(config) || config.kubernetes.kubeconfig.empty()) return {};
  HEADRACE_TRY(AccessOf(config.kubernetes));
  return {};
}

}  // namespace headrace::gateway
