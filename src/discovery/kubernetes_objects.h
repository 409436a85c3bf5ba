// Objects of Kubernetes, read from the API server's JSON: of each kind only what is needed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace headrace::discovery {

enum class KubernetesKind {
  kPod,
  kNode,
  kEndpointSlice,
  kInferencePool,
  kInferenceObjective,
  kConfigMap,
};

// Where the API has a kind.
struct KubernetesResource {
  std::string_view group;  // "discovery.k8s.io"; empty: the core.
  std::string_view version;
  std::string_view plural;  // "endpointslices".
  bool namespaced = true;
};
const KubernetesResource& ResourceOf(KubernetesKind kind);

using KubernetesLabels = std::map<std::string, std::string, std::less<>>;

// A port of a container, or of an EndpointSlice.
struct KubernetesPort {
  std::string name;
  std::uint16_t number = 0;
  bool operator==(const KubernetesPort&) const = default;
};

// The controller that made an object.
struct KubernetesOwner {
  std::string kind;
  std::string name;
};

struct KubernetesPod {
  KubernetesLabels labels;
  std::optional<KubernetesOwner> owner;
  std::string gpu;      // Its annotation `headrace/gpu`.
  std::string node;     // Empty while it is not scheduled.
  std::string address;  // The first; empty: none yet.
  std::vector<KubernetesPort> ports;
  bool ready = false;
  bool deleting = false;
  bool ended = false;  // It has succeeded or failed, and does not come back.
};

struct KubernetesNode {
  std::string gpu;  // Its label `nvidia.com/gpu.product`.
};

struct KubernetesEndpointSlice {
  struct Endpoint {
    std::string address;
    std::string pod;  // Its name; empty if it is none.
    std::string uid;  // The pod's.
    std::string node;
    bool ready = false;
    bool terminating = false;
  };
  std::vector<Endpoint> endpoints;
  std::vector<KubernetesPort> ports;
};

struct KubernetesInferencePool {
  KubernetesLabels selector;  // matchLabels.
  std::vector<std::uint16_t> target_ports;
};

struct KubernetesInferenceObjective {
  std::string pool;
  int priority = 0;
};

struct KubernetesConfigMap {
  std::map<std::string, std::string, std::less<>> data;
};

struct KubernetesObject {
  std::string name_space;  // Empty: it belongs to the cluster.
  std::string name;
  std::string uid;
  std::variant<KubernetesPod, KubernetesNode, KubernetesEndpointSlice, KubernetesInferencePool,
               KubernetesInferenceObjective, KubernetesConfigMap>
      body;
};

// Why an object is left out, one sentence.
struct KubernetesFault {
  std::string name_space;  // Of the object; empty where it has none that can be read.
  std::string name;
  std::string text;
};

// One page of a list. An object that is not as its kind should be is left out, and said in
// `faults`: one broken object must not hide the others.
struct KubernetesPage {
  std::string version;        // The resourceVersion to watch from.
  std::string continue_from;  // Empty: this is the last page.
  std::vector<KubernetesObject> objects;
  std::vector<KubernetesFault> faults;
};
// The error is the rest of a sentence about the text.
Result<KubernetesPage> ParsePage(KubernetesKind kind, std::string_view text);

// One event of a watch.
struct KubernetesEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark, kError };
  Type type = Type::kBookmark;
  std::string version;      // The resourceVersion to go on from; empty with kError.
  KubernetesObject object;  // Of the first three; of one that is deleted only its names.
  std::string fault;        // The object is not as its kind should be: then only its names are set.
  int code = 0;             // Of kError: an HTTP status, 410 when the version is too old.
  std::string message;      // The same: what the server says.
};
// One line of a watch. The error is the rest of a sentence about it.
Result<KubernetesEvent> ParseEvent(KubernetesKind kind, std::string_view line);

// What the API server says in the body of an error; empty if it says nothing.
std::string MessageOfStatus(std::string_view text);

}  // namespace headrace::discovery
