#include "discovery/kubernetes_objects.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace headrace::discovery {
namespace {

using Json = nlohmann::json;

constexpr std::array<KubernetesResource, 6> kResources = {{
    {.group = "", .version = "v1", .plural = "pods"},
    {.group = "", .version = "v1", .plural = "nodes", .namespaced = false},
    {.group = "discovery.k8s.io", .version = "v1", .plural = "endpointslices"},
    {.group = "inference.networking.k8s.io", .version = "v1", .plural = "inferencepools"},
    {.group = "inference.networking.x-k8s.io",
     .version = "v1alpha2",
     .plural = "inferenceobjectives"},
    {.group = "", .version = "v1", .plural = "configmaps"},
}};

constexpr std::size_t kMostFaults = 8;

// --- Values that may be of any type, or missing

const Json& At(const Json& json, std::string_view key) {
  static const Json nothing;
  if (!json.is_object()) return nothing;
  const auto found = json.find(key);
  return found == json.end() ? nothing : *found;
}

std::string TextAt(const Json& json, std::string_view key) {
  const Json& value = At(json, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

// A name as Kubernetes has them; empty if it is none. Deployments and their profiles' files are
// found by it, and the API server takes any text at some places.
std::string NameAt(const Json& json, std::string_view key) {
  constexpr std::string_view kInner =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  constexpr std::string_view kOuter = kInner.substr(0, kInner.size() - 3);
  std::string text = TextAt(json, key);
  const bool is_name = !text.empty() && text.find_first_not_of(kInner) == text.npos &&
                       kOuter.find(text.front()) != kOuter.npos &&
                       kOuter.find(text.back()) != kOuter.npos;
  return is_name ? text : std::string();
}

bool TrueAt(const Json& json, std::string_view key) {
  const Json& value = At(json, key);
  return value.is_boolean() && value.get<bool>();
}

template <typename Integer>
std::optional<Integer> IntegerAt(const Json& json, std::string_view key, Integer least) {
  const Json& value = At(json, key);
  if (!value.is_number_integer()) return std::nullopt;
  // An unsigned number above the largest signed one reads as a negative one.
  const auto number = value.get<std::int64_t>();
  if (value.is_number_unsigned() && number < 0) return std::nullopt;
  if (number < least || number > std::numeric_limits<Integer>::max()) return std::nullopt;
  return static_cast<Integer>(number);
}

// Its items; none if it is no list.
const Json::array_t& ListAt(const Json& json, std::string_view key) {
  static const Json::array_t none;
  const Json& value = At(json, key);
  return value.is_array() ? value.get_ref<const Json::array_t&>() : none;
}

KubernetesLabels TextsAt(const Json& json, std::string_view key) {
  KubernetesLabels texts;
  const Json& value = At(json, key);
  if (!value.is_object()) return texts;
  for (const auto& [name, text] : value.items()) {
    if (text.is_string()) texts.emplace(name, text.get<std::string>());
  }
  return texts;
}

std::optional<KubernetesPort> PortOf(const Json& json, std::string_view number_key) {
  const auto number = IntegerAt<std::uint16_t>(json, number_key, 1);
  if (!number) return std::nullopt;
  return KubernetesPort{TextAt(json, "name"), *number};
}

// --- Kinds

KubernetesPod PodOf(const Json& json) {
  const Json& metadata = At(json, "metadata");
  const Json& spec = At(json, "spec");
  const Json& status = At(json, "status");
  KubernetesPod pod;
  pod.labels = TextsAt(metadata, "labels");
  for (const Json& owner : ListAt(metadata, "ownerReferences")) {
    if (TrueAt(owner, "controller")) pod.owner = {TextAt(owner, "kind"), NameAt(owner, "name")};
  }
  pod.gpu = NameAt(At(metadata, "annotations"), "headrace/gpu");
  pod.node = TextAt(spec, "nodeName");
  pod.address = TextAt(status, "podIP");
  for (const Json& container : ListAt(spec, "containers")) {
    for (const Json& port : ListAt(container, "ports")) {
      // Those without a name are found by number, whether they are declared or not.
      if (auto read = PortOf(port, "containerPort"); read && !read->name.empty()) {
        pod.ports.push_back(*std::move(read));
      }
    }
  }
  for (const Json& condition : ListAt(status, "conditions")) {
    if (TextAt(condition, "type") == "Ready") pod.ready = TextAt(condition, "status") == "True";
  }
  pod.deleting = !TextAt(metadata, "deletionTimestamp").empty();
  const std::string phase = TextAt(status, "phase");
  pod.ended = phase == "Succeeded" || phase == "Failed";
  return pod;
}

KubernetesEndpointSlice SliceOf(const Json& json) {
  KubernetesEndpointSlice slice;
  for (const Json& endpoint : ListAt(json, "endpoints")) {
    const Json::array_t& addresses = ListAt(endpoint, "addresses");
    if (addresses.empty() || !addresses.front().is_string()) continue;
    const Json& conditions = At(endpoint, "conditions");
    const Json& target = At(endpoint, "targetRef");
    const bool is_pod = TextAt(target, "kind") == "Pod";
    // "Not known" means ready.
    const bool ready = !At(conditions, "ready").is_boolean() || TrueAt(conditions, "ready");
    slice.endpoints.push_back({.address = addresses.front().get<std::string>(),
                               .pod = is_pod ? NameAt(target, "name") : "",
                               .uid = TextAt(target, "uid"),
                               .node = TextAt(endpoint, "nodeName"),
                               .ready = ready,
                               .terminating = TrueAt(conditions, "terminating")});
  }
  for (const Json& port : ListAt(json, "ports")) {
    if (auto read = PortOf(port, "port")) slice.ports.push_back(*std::move(read));
  }
  return slice;
}

Result<KubernetesInferencePool> PoolOf(const Json& json) {
  const Json& spec = At(json, "spec");
  KubernetesInferencePool pool;
  pool.selector = TextsAt(At(spec, "selector"), "matchLabels");
  // Without one, every pod of the namespace would be an engine.
  if (pool.selector.empty()) return Fail("has no spec.selector.matchLabels");
  for (const Json& port : ListAt(spec, "targetPorts")) {
    if (const auto number = IntegerAt<std::uint16_t>(port, "number", 1)) {
      pool.target_ports.push_back(*number);
    }
  }
  if (pool.target_ports.empty()) return Fail("has no spec.targetPorts[].number from 1 to 65535");
  return pool;
}

Result<KubernetesInferenceObjective> ObjectiveOf(const Json& json) {
  const Json& spec = At(json, "spec");
  KubernetesInferenceObjective objective{.pool = TextAt(At(spec, "poolRef"), "name")};
  if (objective.pool.empty()) return Fail("has no spec.poolRef.name");
  if (At(spec, "priority").is_null()) return objective;
  const auto priority = IntegerAt<int>(spec, "priority", std::numeric_limits<int>::min());
  if (!priority) return Fail("has a spec.priority that is no integer");
  objective.priority = *priority;
  return objective;
}

struct Names {
  std::string name_space;
  std::string name;
  std::string uid;
  std::string version;
};

Names NamesOf(const Json& json) {
  const Json& metadata = At(json, "metadata");
  return {TextAt(metadata, "namespace"), TextAt(metadata, "name"), TextAt(metadata, "uid"),
          TextAt(metadata, "resourceVersion")};
}

std::string TitleOf(KubernetesKind kind, const Names& names) {
  return std::string(ResourceOf(kind).plural) + " " + Excerpt(names.name_space) +
         (names.name_space.empty() ? "" : "/") + Excerpt(names.name);
}

Result<KubernetesObject> ObjectOf(KubernetesKind kind, const Json& json) {
  Names names = NamesOf(json);
  if (names.name.empty()) return Fail("an object has no metadata.name");
  const std::string title = TitleOf(kind, names);
  KubernetesObject object{.name_space = std::move(names.name_space),
                          .name = std::move(names.name),
                          .uid = std::move(names.uid),
                          .body = {}};
  const auto take = [&](auto body) -> Result<KubernetesObject> {
    if (!body) return Fail(title + " " + body.error().message);
    object.body = *std::move(body);
    return std::move(object);
  };
  switch (kind) {
    case KubernetesKind::kPod:
      object.body = PodOf(json);
      break;
    case KubernetesKind::kNode:
      object.body = KubernetesNode{
          .gpu = TextAt(At(At(json, "metadata"), "labels"), "nvidia.com/gpu.product")};
      break;
    case KubernetesKind::kEndpointSlice:
      object.body = SliceOf(json);
      break;
    case KubernetesKind::kInferencePool:
      return take(PoolOf(json));
    case KubernetesKind::kInferenceObjective:
      return take(ObjectiveOf(json));
    case KubernetesKind::kConfigMap:
      object.body = KubernetesConfigMap{.data = TextsAt(json, "data")};
      break;
  }
  return object;
}

// Most of a pod's text is of no use here, and is dropped while it is read.
bool IsOfUse(KubernetesKind kind, Json::parse_event_t event, const Json& parsed) {
  if (event != Json::parse_event_t::key) return true;
  const auto& key = parsed.get_ref<const std::string&>();
  if (key == "managedFields") return false;
  if (kind == KubernetesKind::kNode) return key != "status" && key != "spec";
  if (kind != KubernetesKind::kPod) return true;
  constexpr std::array<std::string_view, 8> kOfNoUse = {
      "volumes",   "initContainers",    "volumeMounts",          "affinity",
      "resources", "containerStatuses", "initContainerStatuses", "tolerations"};
  return std::ranges::find(kOfNoUse, key) == kOfNoUse.end();
}

Result<Json> Parse(KubernetesKind kind, std::string_view text) {
  Json json = Json::parse(
      text,
      [kind](int /*depth*/, Json::parse_event_t event, Json& parsed) {
        return IsOfUse(kind, event, parsed);
      },
      /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) return Fail("is not a JSON object");
  return json;
}

}  // namespace

const KubernetesResource& ResourceOf(KubernetesKind kind) {
  return kResources[static_cast<std::size_t>(kind)];
}

Result<KubernetesPage> ParsePage(KubernetesKind kind, std::string_view text) {
  HEADRACE_ASSIGN(const Json json, Parse(kind, text));
  if (!At(json, "items").is_array() && !At(json, "items").is_null()) {
    return Fail("has `items` that are no list");
  }
  const Json& metadata = At(json, "metadata");
  KubernetesPage page{.version = TextAt(metadata, "resourceVersion"),
                      .continue_from = TextAt(metadata, "continue"),
                      .objects = {},
                      .faults = {}};
  if (page.version.empty()) return Fail("has no metadata.resourceVersion");
  const Json::array_t& items = ListAt(json, "items");
  page.objects.reserve(items.size());
  for (const Json& item : items) {
    auto object = ObjectOf(kind, item);
    if (object) {
      page.objects.push_back(*std::move(object));
    } else if (page.faults.size() < kMostFaults) {
      Names names = NamesOf(item);
      page.faults.push_back({.name_space = std::move(names.name_space),
                             .name = std::move(names.name),
                             .text = std::move(object.error().message)});
    }
  }
  return page;
}

Result<KubernetesEvent> ParseEvent(KubernetesKind kind, std::string_view line) {
  using Type = KubernetesEvent::Type;
  HEADRACE_ASSIGN(const Json json, Parse(kind, line));
  const Json& object = At(json, "object");
  const std::string type = TextAt(json, "type");
  KubernetesEvent event;
  if (type == "ERROR") {
    event.type = Type::kError;
    event.code = IntegerAt<int>(object, "code", 0).value_or(0);
    event.message = Excerpt(TextAt(object, "message"));
    return event;
  }
  Names names = NamesOf(object);
  event.version = std::move(names.version);
  if (event.version.empty()) return Fail("has no metadata.resourceVersion");
  if (type == "BOOKMARK") return event;
  if (names.name.empty()) return Fail("has no metadata.name");
  if (type == "ADDED") {
    event.type = Type::kAdded;
  } else if (type == "MODIFIED") {
    event.type = Type::kModified;
  } else if (type == "DELETED") {
    event.type = Type::kDeleted;
  } else {
    return Fail("has the type \"" + Excerpt(type) + "\"");
  }
  if (event.type != Type::kDeleted) {
    auto read = ObjectOf(kind, object);
    if (read) {
      event.object = *std::move(read);
      return event;
    }
    event.fault = std::move(read.error().message);
  }
  event.object.name_space = std::move(names.name_space);
  event.object.name = std::move(names.name);
  event.object.uid = std::move(names.uid);
  return event;
}

std::string MessageOfStatus(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return Excerpt(TextAt(json, "message"));
}

}  // namespace headrace::discovery
