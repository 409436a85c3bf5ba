// The endpoints of pools that Kubernetes has.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "discovery/endpoint_source.h"
#include "discovery/kubernetes_cluster.h"
#include "discovery/kubernetes_pods.h"
#include "system/mutex.h"

namespace headrace::discovery {

// Where engines are looked for.
struct KubernetesSelection {
  enum class From { kPods, kService, kInferencePool };
  From from = From::kPods;
  std::string name = {};                     // Of the Service or the InferencePool.
  std::vector<std::string> namespaces = {};  // One of them empty: all.
  std::string selector = {};                 // Of pods.
  std::string model_label = {};  // Its values are models; empty: there is one model, "".
  KubernetesPorts ports = {};
  bool gpus = false;  // Nodes are asked for the GPUs that pods do not name.
  bool operator==(const KubernetesSelection& other) const;
};

// What a selection finds, followed for all who use it. Thread-safe.
class KubernetesView {
 public:
  struct Findings {
    KubernetesModelMap models;
    std::map<std::string, int> objectives;  // Priorities by name; of an InferencePool.
    // All has been looked at once. Until then nothing is known to be missing.
    bool complete = false;
    std::string outage;  // Why it may be old or incomplete, one sentence; else empty.
  };

  // `before`: what the same selection has found by other means, in force until all has been listed.
  KubernetesView(std::shared_ptr<KubernetesCluster> cluster, KubernetesSelection selection,
                 std::shared_ptr<const Findings> before = std::make_shared<const Findings>());

  const KubernetesSelection& selection() const { return selection_; }
  // As of now; the same object as before if nothing has changed.
  std::shared_ptr<const Findings> Look();
  // For all to be listed once, or to have failed; for so long at most.
  void Wait(Seconds most);

 private:
  using Table = std::shared_ptr<const KubernetesTable>;

  // Watches what is to be watched now; whether that, or anything in it, has changed.
  bool Changed() HEADRACE_REQUIRES(mutex_);
  void FollowPool() HEADRACE_REQUIRES(mutex_);
  Findings Find() const HEADRACE_REQUIRES(mutex_);

  const std::shared_ptr<KubernetesCluster> cluster_;
  const KubernetesSelection selection_;
  system::Mutex mutex_;
  std::vector<Table> engines_ HEADRACE_GUARDED_BY(mutex_);  // Pods or slices; by namespace.
  Table nodes_ HEADRACE_GUARDED_BY(mutex_);                 // Null where they are not asked.
  Table pool_ HEADRACE_GUARDED_BY(mutex_);                  // Null where there is none …
  Table objectives_ HEADRACE_GUARDED_BY(mutex_);            // … likewise.
  // The pool as it was found last, by which pods are watched.
  KubernetesInferencePool followed_ HEADRACE_GUARDED_BY(mutex_);
  std::uint64_t seen_ HEADRACE_GUARDED_BY(mutex_) = 0;  // The versions of all tables.
  std::shared_ptr<const Findings> findings_ HEADRACE_GUARDED_BY(mutex_);  // Never null.
};

// One model of a view.
class KubernetesEndpoints final : public EndpointSource {
 public:
  // What the configuration says of a deployment of this name; the endpoints are filled in.
  using Declare = std::function<DiscoveredDeployment(const std::string& deployment)>;
  // Completes an endpoint that has its address: weight, limit, how it is reached.
  using Complete = std::function<void(const std::string& deployment, DiscoveredEndpoint& endpoint)>;

  KubernetesEndpoints(std::shared_ptr<KubernetesView> view, std::string name_space,
                      std::string model, Declare declare, Complete complete)
      : view_(std::move(view)),
        name_space_(std::move(name_space)),
        model_(std::move(model)),
        declare_(std::move(declare)),
        complete_(std::move(complete)) {}

  bool Refresh(Seconds now) override;

 private:
  const std::shared_ptr<KubernetesView> view_;
  const std::string name_space_;
  const std::string model_;
  const Declare declare_;
  const Complete complete_;
  std::shared_ptr<const KubernetesView::Findings> seen_;
};

// Several places together; a deployment of the same name is one. An address that an earlier one has
// is left out of the later ones.
class CombinedEndpoints final : public EndpointSource {
 public:
  explicit CombinedEndpoints(std::vector<std::unique_ptr<EndpointSource>> sources)
      : sources_(std::move(sources)) {}

  bool Refresh(Seconds now) override;

 private:
  std::vector<std::unique_ptr<EndpointSource>> sources_;
};

}  // namespace headrace::discovery
