#include "discovery/kubernetes_pods.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/text.h"

namespace headrace::discovery {
namespace {

// --- Names that controllers make

// What Kubernetes makes random parts of names of: no vowels, so that they are no words.
bool IsRandom(std::string_view text, std::size_t least, std::size_t most) {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  return text.size() >= least && text.size() <= most &&
         text.find_first_not_of(kLetters) == std::string_view::npos;
}
bool IsSuffix(std::string_view text) { return IsRandom(text, 5, 5); }
bool IsHash(std::string_view text) { return IsRandom(text, 6, 10); }
bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Takes the last part of `a-b-c` off; false if it is the only one.
bool CutPart(std::string_view& name, bool (*fits)(std::string_view)) {
  const std::size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0 || !fits(name.substr(dash + 1))) return false;
  name.remove_suffix(name.size() - dash);
  return true;
}

// NAME-HASH-RANDOM: what a ReplicaSet, or a RayClusterReplicaSet, makes.
bool CutHashAndSuffix(std::string_view& name) {
  std::string_view cut = name;
  if (!CutPart(cut, IsSuffix) || !CutPart(cut, IsHash)) return false;
  name = cut;
  return true;
}

std::string ByName(std::string_view pod) {
  if (CutHashAndSuffix(pod)) return std::string(pod);
  std::string_view cut = pod;
  if (CutPart(cut, IsSuffix)) {
    // The head of a RayCluster, perhaps of a RayClusterFleet.
    constexpr std::string_view kHead = "-head";
    if (cut.ends_with(kHead) && cut.size() > kHead.size()) {
      cut.remove_suffix(kHead.size());
      CutHashAndSuffix(cut);
    }
    return std::string(cut);
  }
  CutPart(cut, IsNumber);
  return std::string(cut);
}

std::string_view LabelOf(const KubernetesLabels& labels, std::string_view name) {
  const auto found = labels.find(name);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

// --- Addresses

std::optional<std::uint16_t> PortNumber(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

std::optional<system::SocketAddress> AddressOf(const std::string& host, std::uint16_t port) {
  sockaddr_in v4 = {};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return system::SocketAddress(v4);
  }
  sockaddr_in6 v6 = {};
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return system::SocketAddress(v6);
  }
  return std::nullopt;
}

// The numbers of the ports that are asked for; of one that is not there, its name is in `missing`.
std::vector<std::uint16_t> NumbersOf(const std::vector<std::string>& asked,
                                     const std::vector<KubernetesPort>& there,
                                     std::string& missing) {
  std::vector<std::uint16_t> numbers;
  for (const std::string& port : asked) {
    auto number = PortNumber(port);
    const auto named = std::ranges::find(there, port, &KubernetesPort::name);
    if (!number && named != there.end()) number = named->number;
    if (!number) {
      missing = port;
    } else if (std::ranges::find(numbers, *number) == numbers.end()) {
      numbers.push_back(*number);
    }
  }
  return numbers;
}

// Puts engines in order. Of several at one address (a pod that has gone, and its successor; pods of
// one host's network) one counts, an open one before others; of one at an address of each family,
// the IPv4 one.
void Settle(KubernetesEngines& engines) {
  const auto names = [](const KubernetesEngine& engine) {
    return std::tuple(std::string_view(engine.deployment), std::string_view(engine.pod),
                      engine.address.port(), std::string_view(engine.uid));
  };
  std::ranges::sort(engines, [&names](const KubernetesEngine& a, const KubernetesEngine& b) {
    if (names(a) != names(b)) return names(a) < names(b);
    return a.address.ToString() < b.address.ToString();
  });
  std::map<std::string, std::size_t> by_address;
  std::vector<bool> left_out(engines.size(), false);
  for (std::size_t i = 0; i < engines.size(); ++i) {
    const auto [known, is_new] = by_address.emplace(engines[i].address.ToString(), i);
    if (is_new) continue;
    const bool better = !engines[known->second].closed.empty() && engines[i].closed.empty();
    left_out[better ? known->second : i] = true;
    if (better) known->second = i;
  }
  KubernetesEngines kept;
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (!left_out[i]) kept.push_back(std::move(engines[i]));
  }
  const auto twice =
      std::ranges::unique(kept, [&names](const KubernetesEngine& a, const KubernetesEngine& b) {
        return !a.uid.empty() && names(a) == names(b);
      });
  kept.erase(twice.begin(), twice.end());
  engines = std::move(kept);
}

void Settle(FoundEngines& found) {
  for (auto& [model, engines] : found.models) Settle(engines);
}

std::string TitleOf(const KubernetesObject& object) {
  return Excerpt(object.name_space) + "/" + Excerpt(object.name);
}

}  // namespace

std::string DeploymentOfPod(const std::string& pod, const KubernetesLabels& labels,
                            const std::optional<KubernetesOwner>& owner) {
  const std::string_view set = LabelOf(labels, "leaderworkerset.sigs.k8s.io/name");
  if (!set.empty()) return std::string(set);
  if (!owner || owner->name.empty()) return ByName(pod);
  std::string_view name = owner->name;
  if (owner->kind == "ReplicaSet") {
    const std::string hash = "-" + std::string(LabelOf(labels, "pod-template-hash"));
    if (hash.size() > 1 && name.ends_with(hash) && name.size() > hash.size()) {
      name.remove_suffix(hash.size());
    } else {
      CutPart(name, IsHash);
    }
  } else if (owner->kind == "RayCluster") {
    CutHashAndSuffix(name);
  }
  return std::string(name);
}

bool ServesRequests(const KubernetesLabels& labels) {
  const std::string_view worker = LabelOf(labels, "leaderworkerset.sigs.k8s.io/worker-index");
  const std::string_view ray = LabelOf(labels, "ray.io/node-type");
  return (worker.empty() || worker == "0") && (ray.empty() || ray == "head");
}

FoundEngines EnginesOfPods(const KubernetesObjects& pods, const KubernetesPorts& ports,
                           std::string_view model_label) {
  FoundEngines found;
  for (const auto& object : pods) {
    const auto& pod = std::get<KubernetesPod>(object->body);
    if (pod.ended || !ServesRequests(pod.labels)) continue;
    const std::string_view model = LabelOf(pod.labels, model_label);
    if (!model_label.empty() && model.empty()) continue;
    // A model is there as soon as a pod of it is, even if that has no address yet.
    KubernetesEngines& engines = found.models[{object->name_space, std::string(model)}];
    if (pod.address.empty()) continue;
    std::string missing;
    std::vector<std::uint16_t> numbers;
    const std::string_view label = ports.label.empty() ? "" : LabelOf(pod.labels, ports.label);
    if (const auto number = PortNumber(label)) {
      numbers = {*number};
    } else if (!label.empty()) {
      missing = label;
    } else if (ports.ports.empty()) {
      numbers = {ports.otherwise};
    } else {
      numbers = NumbersOf(ports.ports, pod.ports, missing);
    }
    if (!missing.empty() && found.fault.empty()) {
      found.fault = "Pod " + TitleOf(*object) + " has no port \"" + Excerpt(missing) +
                    "\"; name one that its containers have, or write the number.";
    }
    const std::string closed = pod.deleting ? "its pod is being deleted"
                               : pod.ready  ? ""
                                            : "its pod is not ready";
    for (const std::uint16_t number : numbers) {
      const auto address = AddressOf(pod.address, number);
      if (!address) continue;
      engines.push_back({.deployment = DeploymentOfPod(object->name, pod.labels, pod.owner),
                         .pod = object->name,
                         .uid = object->uid,
                         .node = pod.node,
                         .gpu = pod.gpu,
                         .address = *address,
                         .closed = closed});
    }
  }
  Settle(found);
  return found;
}

FoundEngines EnginesOfSlices(const KubernetesObjects& slices, const KubernetesPorts& ports) {
  FoundEngines found;
  for (const auto& object : slices) {
    const auto& slice = std::get<KubernetesEndpointSlice>(object->body);
    KubernetesEngines& engines = found.models[{object->name_space, ""}];
    std::string missing;
    std::vector<std::uint16_t> numbers = NumbersOf(ports.ports, slice.ports, missing);
    if (ports.ports.empty()) {
      for (const KubernetesPort& port : slice.ports) numbers.push_back(port.number);
      if (numbers.size() > 1) {
        numbers.clear();
        found.fault = "EndpointSlice " + TitleOf(*object) +
                      " has several ports; choose some by `kubernetes: { ports: … }`.";
      }
    } else if (!missing.empty() && found.fault.empty()) {
      found.fault = "EndpointSlice " + TitleOf(*object) + " has no port \"" + Excerpt(missing) +
                    "\"; name one that the Service has, or write the number.";
    }
    for (const KubernetesEndpointSlice::Endpoint& endpoint : slice.endpoints) {
      for (const std::uint16_t number : numbers) {
        const auto address = AddressOf(endpoint.address, number);
        if (!address) continue;
        engines.push_back({.deployment = endpoint.pod.empty()
                                             ? "service"
                                             : DeploymentOfPod(endpoint.pod, {}, std::nullopt),
                           .pod = endpoint.pod,
                           .uid = endpoint.uid,
                           .node = endpoint.node,
                           .gpu = {},
                           .address = *address,
                           .closed = endpoint.terminating ? "its pod is being deleted"
                                     : endpoint.ready     ? ""
                                                          : "its pod is not ready"});
      }
    }
  }
  Settle(found);
  return found;
}

void AddGpus(const KubernetesObjects& nodes, KubernetesModelMap& models) {
  std::map<std::string_view, std::string_view> gpus;
  for (const auto& node : nodes) gpus[node->name] = std::get<KubernetesNode>(node->body).gpu;
  for (auto& [model, engines] : models) {
    for (KubernetesEngine& engine : engines) {
      const auto node = gpus.find(engine.node);
      if (engine.gpu.empty() && node != gpus.end()) engine.gpu = node->second;
    }
  }
}

}  // namespace headrace::discovery
