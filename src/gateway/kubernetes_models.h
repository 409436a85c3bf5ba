// The models that Kubernetes has, put into the configuration.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "config/config.h"
#include "discovery/kubernetes_cluster.h"
#include "discovery/kubernetes_endpoints.h"

namespace headrace::gateway {

// Where the engines of a model come from beside its configuration; without a view: from nowhere.
struct KubernetesOrigin {
  std::shared_ptr<discovery::KubernetesView> view;
  std::string name_space;             // The model's place among the findings, …
  std::string model;                  // … likewise.
  config::ModelConfig declared = {};  // As it is in the file: what it says of deployments.
};

// What is served: every model has its name, and every deployment that was found is there.
struct ServedConfig {
  config::Config config;
  std::vector<KubernetesOrigin> origins;  // By model.
};

// What a model of the file says of a deployment of this name, or of all others (`*`); of none, all
// is as by default.
config::DeploymentConfig DeclaredOf(const config::ModelConfig& model, const std::string& name);

// Keeps the cluster, and what is looked for there, over changes of the configuration: what does not
// change is not asked for again. A copy follows the same. Not thread-safe.
class KubernetesModels {
 public:
  // Takes over what the configuration looks for. An error, one sentence: a kubeconfig that cannot
  // be read, or no cluster; then nothing has changed.
  Result<void> SetConfig(const config::Config& config);
  // For everything to be listed once; for so long at most.
  void Wait(Seconds most);
  // The configuration with what there is now. A model or a deployment that is gone stays for five
  // minutes: a rolling update, or one pod that fails, must not take its name away.
  ServedConfig Serve(const config::Config& config, Seconds now);

  bool follows() const { return !entries_.empty(); }
  // Null where it is not needed.
  const std::shared_ptr<discovery::KubernetesCluster>& cluster() const { return cluster_; }

 private:
  struct Deployment {
    Seconds seen = 0;
    std::string gpu;
  };
  struct Model {
    Seconds seen = 0;
    std::map<std::string, Deployment> deployments;
  };
  // What is looked for, and what was found there of late, by namespace and model.
  struct Entry {
    std::string model;  // As the file names it.
    std::shared_ptr<discovery::KubernetesView> view;
    std::map<std::pair<std::string, std::string>, Model> models;
  };

  static void Remember(Entry& entry, Seconds now);

  std::shared_ptr<discovery::KubernetesCluster> cluster_;
  // The ConfigMap of profiles, watched on while their readers are exchanged; null: none is used.
  std::shared_ptr<const discovery::KubernetesTable> profiles_;
  std::vector<Entry> entries_;  // In the order of the models that have `kubernetes`.
};

// The errors of SetConfig that need no cluster.
Result<void> CheckKubernetes(const config::Config& config);

}  // namespace headrace::gateway
