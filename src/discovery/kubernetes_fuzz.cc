// Fuzzes what an API server of Kubernetes may send.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "discovery/kubernetes_objects.h"
#include "discovery/kubernetes_pods.h"

namespace {

using headrace::discovery::KubernetesKind;

// No two engines of a model are at one address.
void Check(const headrace::discovery::FoundEngines& found) {
  for (const auto& [model, engines] : found.models) {
    for (std::size_t i = 0; i < engines.size() && i < 64; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (engines[i].address == engines[j].address) std::abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::discovery;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (int i = 0; i < 6; ++i) {
    const auto kind = static_cast<KubernetesKind>(i);
    if (const auto event = ParseEvent(kind, text)) {
      const bool has_object = event->type == KubernetesEvent::Type::kAdded ||
                              event->type == KubernetesEvent::Type::kModified ||
                              event->type == KubernetesEvent::Type::kDeleted;
      if (has_object && event->object.name.empty()) std::abort();
    }
    auto page = ParsePage(kind, text);
    if (!page) continue;
    if (page->version.empty()) std::abort();
    KubernetesObjects objects;
    for (KubernetesObject& object : page->objects) {
      if (object.name.empty() || object.body.index() != static_cast<std::size_t>(i)) std::abort();
      objects.push_back(std::make_shared<const KubernetesObject>(std::move(object)));
    }
    const KubernetesPorts ports{.label = "p", .ports = {"http", "8001"}, .otherwise = 8000};
    if (kind == KubernetesKind::kPod) Check(EnginesOfPods(objects, ports, "m"));
    if (kind == KubernetesKind::kEndpointSlice) Check(EnginesOfSlices(objects, ports));
  }
  return 0;
}
