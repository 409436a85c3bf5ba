#include "discovery/kubernetes_objects.h"

#include <gmock/gmock.h>

#include "base/random.h"

namespace headrace::discovery {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kPods = R"({
  "kind": "PodList", "apiVersion": "v1",
  "metadata": {"resourceVersion": "77", "continue": "next"},
  "items": [{
    "metadata": {
      "name": "llama-a10-5d4f8b6c7d-x2x4x", "namespace": "inference", "uid": "u-1",
      "labels": {"model.aibrix.ai/name": "llama", "volumes": "no use of it is made"},
      "annotations": {"headrace/gpu": "A10"},
      "managedFields": [{"manager": "kubelet"}],
      "ownerReferences": [
        {"kind": "Node", "name": "n"},
        {"kind": "ReplicaSet", "name": "llama-a10-5d4f8b6c7d", "controller": true}]},
    "spec": {
      "nodeName": "node-3",
      "containers": [
        {"name": "sidecar"},
        {"name": "engine", "ports": [{"name": "http", "containerPort": 8000},
                                     {"containerPort": 9000}]}]},
    "status": {
      "phase": "Running", "podIP": "fd00::7",
      "conditions": [{"type": "Initialized", "status": "True"},
                     {"type": "Ready", "status": "True"}]}}]
})";

TEST(KubernetesObjects, OfAPodOnlyWhatIsNeeded) {
  const auto page = ParsePage(KubernetesKind::kPod, kPods);
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ(page->version, "77");
  EXPECT_EQ(page->continue_from, "next");
  ASSERT_EQ(page->objects.size(), 1);
  const KubernetesObject& object = page->objects.front();
  EXPECT_EQ(object.name_space, "inference");
  EXPECT_EQ(object.uid, "u-1");
  const auto& pod = std::get<KubernetesPod>(object.body);
  EXPECT_EQ(pod.labels.at("model.aibrix.ai/name"), "llama");
  EXPECT_EQ(pod.owner->kind, "ReplicaSet");
  EXPECT_EQ(pod.gpu, "A10");
  EXPECT_EQ(pod.node, "node-3");
  EXPECT_EQ(pod.address, "fd00::7");
  EXPECT_THAT(pod.ports, ElementsAre(KubernetesPort{"http", 8000}));
  EXPECT_TRUE(pod.ready);
  EXPECT_FALSE(pod.deleting);
  EXPECT_FALSE(pod.ended);
}

// Who makes a pod writes these as they like, and files of profiles are found by them.
TEST(KubernetesObjects, WhatIsNoNameNamesNothing) {
  const auto page = ParsePage(KubernetesKind::kPod, R"({
    "metadata": {"resourceVersion": "1"},
    "items": [{"metadata": {
      "name": "llama", "annotations": {"headrace/gpu": "../../etc/passwd"},
      "ownerReferences": [{"kind": "Job", "name": "a\r\nset-cookie: b", "controller": true}]}}]
  })");
  ASSERT_TRUE(page) << page.error().message;
  const auto& pod = std::get<KubernetesPod>(page->objects.front().body);
  EXPECT_EQ(pod.gpu, "");
  EXPECT_EQ(pod.owner->name, "");
}

TEST(KubernetesObjects, OneThatIsBrokenDoesNotHideTheOthers) {
  const auto page = ParsePage(KubernetesKind::kInferencePool, R"({
    "metadata": {"resourceVersion": "5"},
    "items": [
      {"metadata": {"name": "empty", "namespace": "a"}, "spec": {"selector": {"matchLabels": {}}}},
      {"metadata": {"name": "portless", "namespace": "a"},
       "spec": {"selector": {"matchLabels": {"app": "x"}}, "targetPorts": [{"number": 70000}]}},
      {"spec": {}}, 7,
      {"metadata": {"name": "good", "namespace": "a"},
       "spec": {"selector": {"matchLabels": {"app": "x"}},
                "targetPorts": [{"number": 8000}, {"number": 8001}]}}]})");
  ASSERT_TRUE(page) << page.error().message;
  ASSERT_EQ(page->objects.size(), 1);
  const auto& pool = std::get<KubernetesInferencePool>(page->objects.front().body);
  EXPECT_THAT(pool.target_ports, ElementsAre(8000, 8001));
  std::vector<std::string> faults;
  for (const KubernetesFault& fault : page->faults) faults.push_back(fault.text);
  EXPECT_THAT(faults,
              ElementsAre(HasSubstr("inferencepools a/empty has no spec.selector.matchLabels"),
                          HasSubstr("a/portless has no spec.targetPorts[].number"),
                          HasSubstr("no metadata.name"), HasSubstr("no metadata.name")));
  EXPECT_EQ(page->faults[1].name_space, "a");
  EXPECT_EQ(page->faults[1].name, "portless");
}

TEST(KubernetesObjects, AListOfNoneMayHaveNoItems) {
  const auto page =
      ParsePage(KubernetesKind::kPod, R"({"metadata": {"resourceVersion": "1"}, "items": null})");
  ASSERT_TRUE(page);
  EXPECT_THAT(page->objects, IsEmpty());
  EXPECT_FALSE(ParsePage(KubernetesKind::kPod, R"({"metadata": {}, "items": []})"));
  EXPECT_FALSE(ParsePage(KubernetesKind::kPod, "[]"));
  EXPECT_FALSE(ParsePage(KubernetesKind::kPod, "<html>"));
}

TEST(KubernetesObjects, Events) {
  using Type = KubernetesEvent::Type;
  auto event = ParseEvent(KubernetesKind::kPod, R"({"type": "DELETED", "object": {"metadata":
      {"name": "p", "namespace": "a", "resourceVersion": "9"}}})");
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, Type::kDeleted);
  EXPECT_EQ(event->object.name, "p");
  EXPECT_EQ(event->version, "9");
  event = ParseEvent(KubernetesKind::kPod, R"({"type": "BOOKMARK", "object": {"metadata":
      {"resourceVersion": "12"}}})");
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, Type::kBookmark);
  EXPECT_EQ(event->version, "12");
  event = ParseEvent(KubernetesKind::kPod, R"({"type": "ERROR", "object": {"kind": "Status",
      "code": 410, "message": "too old resource version"
}
})");
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, Type::kError);
  EXPECT_EQ(event->code, 410);
  event = ParseEvent(KubernetesKind::kInferenceObjective, R"({"type": "MODIFIED", "object":
      {"metadata": {"name": "o", "namespace": "a", "resourceVersion": "13"}, "spec": {}}})");
  ASSERT_TRUE(event) << "it goes on from there";
  EXPECT_THAT(event->fault, HasSubstr("a/o has no spec.poolRef.name"));
  EXPECT_EQ(event->object.name, "o");
  EXPECT_FALSE(ParseEvent(KubernetesKind::kPod, R"({"type": "ADDED", "object": {}})"));
  EXPECT_FALSE(ParseEvent(KubernetesKind::kPod, R"({"type": "NEW", "object": {"metadata":
      {"name": "p", "resourceVersion": "1"}}})"));
}

TEST(KubernetesObjects, WhateverIsReadIsReadOrRefused) {
  constexpr std::string_view kParts[] = {
      "{",    "}",      "[", "]", "null", "7", "-1", "\"", ":", ",", "99999999999999999999",
      "true", "\\u0000"};
  Rng rng(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string text(kPods);
    for (std::uint64_t changes = 1 + rng.Below(4); changes > 0; --changes) {
      const std::string_view part = kParts[rng.Below(std::size(kParts))];
      text.replace(rng.Below(text.size()), rng.Below(12), part);
    }
    for (int kind = 0; kind < 6; ++kind) {
      const auto page = ParsePage(static_cast<KubernetesKind>(kind), text);
      if (!page) continue;
      EXPECT_FALSE(page->version.empty());
      for (const KubernetesObject& object : page->objects) EXPECT_FALSE(object.name.empty());
    }
  }
}

}  // namespace
}  // namespace headrace::discovery
