#include "discovery/kubernetes_endpoints.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "system/clock.h"

namespace headrace::discovery {
namespace {

std::string SelectorOf(const KubernetesLabels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += (text.empty() ? "" : ",") + name + "=" + value;
  }
  return text;
}

}  // namespace

bool KubernetesSelection::operator==(const KubernetesSelection& other) const {
  const auto compared = [](const KubernetesSelection& s) {
    return std::tie(s.from, s.name, s.namespaces, s.selector, s.model_label, s.ports.label,
                    s.ports.ports, s.ports.otherwise, s.gpus);
  };
  return compared(*this) == compared(other);
}

// --- KubernetesView

KubernetesView::KubernetesView(std::shared_ptr<KubernetesCluster> cluster,
                               KubernetesSelection selection,
                               std::shared_ptr<const Findings> before)
    : cluster_(std::move(cluster)), selection_(std::move(selection)), findings_(std::move(before)) {
  using From = KubernetesSelection::From;
  const system::MutexLock lock(mutex_);
  if (selection_.gpus) nodes_ = cluster_->Watch({.kind = KubernetesKind::kNode});
  for (const std::string& name_space : selection_.namespaces) {
    switch (selection_.from) {
      case From::kPods:
        engines_.push_back(cluster_->Watch({.kind = KubernetesKind::kPod,
                                            .name_space = name_space,
                                            .label_selector = selection_.selector}));
        break;
      case From::kService:
        engines_.push_back(
            cluster_->Watch({.kind = KubernetesKind::kEndpointSlice,
                             .name_space = name_space,
                             .label_selector = "kubernetes.io/service-name=" + selection_.name}));
        break;
      case From::kInferencePool:
        pool_ = cluster_->Watch({.kind = KubernetesKind::kInferencePool,
                                 .name_space = name_space,
                                 .name = selection_.name});
        objectives_ = cluster_->Watch(
            {.kind = KubernetesKind::kInferenceObjective, .name_space = name_space});
        break;
    }
  }
}

void KubernetesView::FollowPool() {
  const KubernetesTable::Contents contents = pool_->Read();
  // One that is gone keeps its engines: it may be replaced.
  if (contents.objects.empty()) return;
  const auto& pool = std::get<KubernetesInferencePool>(contents.objects.front()->body);
  if (engines_.empty() || pool.selector != followed_.selector) {
    engines_ = {cluster_->Watch({.kind = KubernetesKind::kPod,
                                 .name_space = selection_.namespaces.front(),
                                 .label_selector = SelectorOf(pool.selector)})};
  }
  followed_ = pool;
}

bool KubernetesView::Changed() {
  if (pool_ != nullptr) FollowPool();
  std::uint64_t versions = 1;
  // Versions only grow. Other pods than before begin at 0, and are not the same sum: the pool's
  // version has grown, too.
  for (const Table& table : engines_) versions += table->version();
  for (const Table& table : {nodes_, pool_, objectives_}) {
    if (table != nullptr) versions += table->version() << 32;
  }
  return std::exchange(seen_, versions) != versions;
}

std::shared_ptr<const KubernetesView::Findings> KubernetesView::Look() {
  const system::MutexLock lock(mutex_);
  if (!Changed()) return findings_;
  Findings found = Find();
  // What is not complete yet, such as pods by another selector, replaces nothing.
  if (!found.complete && findings_->complete) {
    found.models = findings_->models;
    found.objectives = findings_->objectives;
    found.complete = true;
  }
  findings_ = std::make_shared<const Findings>(std::move(found));
  return findings_;
}

KubernetesView::Findings KubernetesView::Find() const {
  Findings found;
  found.complete = !engines_.empty();
  const auto read = [&found](const Table& table) {
    KubernetesTable::Contents contents = table->Read();
    if (found.outage.empty()) {
      found.outage = contents.outage.empty() ? contents.fault.empty() ? "" : contents.fault + "."
                                             : contents.outage;
    }
    found.complete &= contents.complete;
    return contents;
  };
  std::string fault;
  KubernetesPorts ports = selection_.ports;
  if (pool_ != nullptr) {
    const KubernetesTable::Contents pool = read(pool_);
    if (pool.complete && pool.objects.empty() && found.outage.empty()) {
      found.outage = "There is no InferencePool " + selection_.name + " in namespace " +
                     selection_.namespaces.front() + " that can be used; make it.";
    }
    ports = {};
    for (const std::uint16_t port : followed_.target_ports) {
      ports.ports.push_back(std::to_string(port));
    }
    const KubernetesTable::Contents objectives = objectives_->Read();
    // A cluster may have none.
    if (!objectives.unknown) {
      if (found.outage.empty()) found.outage = objectives.outage;
      for (const auto& object : objectives.objects) {
        const auto& objective = std::get<KubernetesInferenceObjective>(object->body);
        if (objective.pool == selection_.name) found.objectives[object->name] = objective.priority;
      }
    }
  }
  for (const Table& table : engines_) {
    const KubernetesTable::Contents contents = read(table);
    FoundEngines engines = selection_.from == KubernetesSelection::From::kService
                               ? EnginesOfSlices(contents.objects, ports)
                               : EnginesOfPods(contents.objects, ports, selection_.model_label);
    found.models.merge(engines.models);
    if (fault.empty()) fault = std::move(engines.fault);
  }
  if (nodes_ != nullptr) {
    const bool complete = found.complete;
    AddGpus(read(nodes_).objects, found.models);
    found.complete = complete;  // Engines are served while their GPUs are not known.
  }
  if (found.outage.empty()) found.outage = std::move(fault);
  return found;
}

void KubernetesView::Wait(Seconds most) {
  const Seconds end = system::MonotonicNow() + most;
  // First the pool, then the pods that it selects.
  for (int i = 0; i < 2; ++i) {
    std::vector<Table> tables;
    {
      const system::MutexLock lock(mutex_);
      if (i > 0 && pool_ != nullptr) FollowPool();
      tables = engines_;
      for (const Table& table : {nodes_, pool_, objectives_}) {
        if (table != nullptr) tables.push_back(table);
      }
    }
    for (const Table& table : tables) table->WaitForList(end - system::MonotonicNow());
  }
}

// --- KubernetesEndpoints

bool KubernetesEndpoints::Refresh(Seconds /*now*/) {
  const auto findings = view_->Look();
  if (findings == seen_) return false;
  seen_ = findings;
  if (!findings->complete) {
    return Publish(*snapshot(), findings->outage.empty()
                                    ? "Kubernetes has not listed the engines yet."
                                    : findings->outage);
  }
  EndpointSnapshot found;
  const auto model = findings->models.find({name_space_, model_});
  if (model != findings->models.end()) {
    for (const KubernetesEngine& engine : model->second) {
      if (found.empty() || found.back().name != engine.deployment) {
        found.push_back(declare_(engine.deployment));
        found.back().endpoints.clear();
      }
      DiscoveredEndpoint endpoint{.address = engine.address.ToString(),
                                  .resolved = engine.address,
                                  .instance = engine.uid,
                                  .closed = engine.closed};
      complete_(engine.deployment, endpoint);
      found.back().endpoints.push_back(std::move(endpoint));
    }
  }
  return Publish(std::move(found), findings->outage);
}

// --- CombinedEndpoints

bool CombinedEndpoints::Refresh(Seconds now) {
  EndpointSnapshot all;
  std::string outage;
  std::set<std::string> taken;
  for (const auto& source : sources_) {
    source->Refresh(now);
    if (outage.empty()) outage = source->outage();
    for (const DiscoveredDeployment& deployment : *source->snapshot()) {
      auto known = std::ranges::find(all, deployment.name, &DiscoveredDeployment::name);
      if (known == all.end()) {
        known = all.insert(all.end(), deployment);
        known->endpoints.clear();
      }
      for (const DiscoveredEndpoint& endpoint : deployment.endpoints) {
        if (taken.insert(endpoint.address).second) known->endpoints.push_back(endpoint);
      }
    }
  }
  return Publish(std::move(all), std::move(outage));
}

}  // namespace headrace::discovery
