// GPU profiles in a ConfigMap.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "discovery/kubernetes_cluster.h"
#include "discovery/profile_source.h"

namespace headrace::discovery {

// A ConfigMap of the cluster's own namespace.
std::shared_ptr<const KubernetesTable> WatchProfiles(KubernetesCluster& cluster,
                                                     const std::string& configmap);

// Reads the keys NAME.json of a ConfigMap of the cluster's own namespace, which is watched.
class KubernetesProfiles final : public ProfileSource {
 public:
  KubernetesProfiles(const std::shared_ptr<KubernetesCluster>& cluster,
                     const std::string& configmap, const std::vector<std::string>& names);

  bool Refresh(Seconds now) override;

 private:
  bool Read(const KubernetesConfigMap& map);

  const std::string title_;  // "ConfigMap inference/headrace-profiles".
  std::vector<std::string> keys_;
  std::vector<std::optional<std::string>> seen_;  // The texts that were read last.
  std::shared_ptr<const KubernetesTable> table_;
  std::optional<std::uint64_t> version_;
};

}  // namespace headrace::discovery
