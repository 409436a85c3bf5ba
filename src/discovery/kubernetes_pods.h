// From Kubernetes' objects to engines: which pods and ports they are, and whose. Pure.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "discovery/kubernetes_objects.h"
#include "system/address.h"

namespace headrace::discovery {

// The deployment that a pod belongs to: the name of what made it, as people know it
// (docs/kubernetes.md). `owner` may be unknown; then the pod's own name tells.
std::string DeploymentOfPod(const std::string& pod, const KubernetesLabels& labels,
                            const std::optional<KubernetesOwner>& owner);

// One of several pods that are one engine serves: the leader of a LeaderWorkerSet, the head of a
// RayCluster, any other pod.
bool ServesRequests(const KubernetesLabels& labels);

// Which pods and ports are engines.
struct KubernetesPorts {
  std::string label = {};               // A pod's label with its port; it comes first.
  std::vector<std::string> ports = {};  // Numbers or names; none: `otherwise`, …
  std::uint16_t otherwise = 0;          // … or, of a slice, its only port.
};

// One engine: a port of a pod.
struct KubernetesEngine {
  std::string deployment;
  std::string pod;  // Its name.
  std::string uid;
  std::string node;
  std::string gpu;  // Its GPU type; empty: not known.
  system::SocketAddress address;
  std::string closed = {};  // DiscoveredEndpoint::closed.
};

// The engines of one model in one namespace, by deployment, pod and port.
using KubernetesEngines = std::vector<KubernetesEngine>;
// By namespace and model.
using KubernetesModelMap = std::map<std::pair<std::string, std::string>, KubernetesEngines>;

using KubernetesObjects = std::vector<std::shared_ptr<const KubernetesObject>>;

struct FoundEngines {
  KubernetesModelMap models;
  std::string fault;  // Of what is left out, a sentence; empty: nothing is.
};

// `model_label`: whose value is the model; empty: all are of the model "".
FoundEngines EnginesOfPods(const KubernetesObjects& pods, const KubernetesPorts& ports,
                           std::string_view model_label);
FoundEngines EnginesOfSlices(const KubernetesObjects& slices, const KubernetesPorts& ports);
// Where the pods do not say their GPU, their nodes do.
void AddGpus(const KubernetesObjects& nodes, KubernetesModelMap& models);

}  // namespace headrace::discovery
