#include "discovery/kubernetes_profiles.h"

#include <utility>

#include "base/text.h"

namespace headrace::discovery {
namespace {

// So long is waited for the ConfigMap at first.
constexpr Seconds kFirstLook = 2;
// Keys in a fix.
constexpr std::size_t kMostNamed = 8;

}  // namespace

std::shared_ptr<const KubernetesTable> WatchProfiles(KubernetesCluster& cluster,
                                                     const std::string& configmap) {
  return cluster.Watch({.kind = KubernetesKind::kConfigMap,
                        .name_space = cluster.access().name_space,
                        .name = configmap});
}

KubernetesProfiles::KubernetesProfiles(const std::shared_ptr<KubernetesCluster>& cluster,
                                       const std::string& configmap,
                                       const std::vector<std::string>& names)
    : title_("ConfigMap " + cluster->access().name_space + "/" + configmap),
      seen_(names.size()),
      table_(WatchProfiles(*cluster, configmap)) {
  for (const std::string& name : names) {
    keys_.push_back(name.ends_with(".json") ? name : name + ".json");
    readings_.emplace_back().origin = keys_.back() + " in " + title_;
  }
}

bool KubernetesProfiles::Refresh(Seconds /*now*/) {
  if (!version_) table_->WaitForList(kFirstLook);
  const std::uint64_t version = table_->version();
  if (version_ == version) return false;
  version_ = version;
  const KubernetesTable::Contents contents = table_->Read();
  bool changed = outage_ != contents.outage;
  outage_ = contents.outage;
  if (!contents.complete) {
    if (!outage_.empty()) return changed;
    outage_ = title_ + " is not read yet.";
    return true;
  }
  if (!contents.objects.empty()) {
    changed |= Read(std::get<KubernetesConfigMap>(contents.objects.front()->body));
    return changed;
  }
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    seen_[i].reset();
    changed |= SetError(readings_[i],
                        readings_[i].origin +
                            ": there is no such ConfigMap; make it with `kubectl create configmap "
                            "… --from-file=profiles/`.",
                        true);
  }
  return changed;
}

bool KubernetesProfiles::Read(const KubernetesConfigMap& map) {
  bool changed = false;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const auto found = map.data.find(keys_[i]);
    if (found == map.data.end()) {
      seen_[i].reset();
      std::string fix = "add it";
      std::size_t named = 0;
      for (const auto& [key, text] : map.data) {
        if (named++ == kMostNamed) break;
        fix += (named == 1 ? ", or name the deployment's profile as one that is there: " : ", ") +
               Excerpt(key);
      }
      changed |= SetError(readings_[i], readings_[i].origin + ": no such key; " + fix + ".", true);
      continue;
    }
    if (seen_[i] == found->second) continue;
    seen_[i] = found->second;
    SetText(readings_[i], found->second);
    changed = true;
  }
  return changed;
}

}  // namespace headrace::discovery
