#include "discovery/kubernetes_pods.h"

#include <gmock/gmock.h>

namespace headrace::discovery {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST(DeploymentOfPod, IsWhatMadeItAsPeopleKnowIt) {
  const auto owned = [](const std::string& kind, const std::string& name,
                        const KubernetesLabels& labels = {}) {
    return DeploymentOfPod("some-pod", labels, KubernetesOwner{kind, name});
  };
  EXPECT_EQ(owned("ReplicaSet", "llama-a10-5d4f8b6c7d"), "llama-a10");
  EXPECT_EQ(owned("ReplicaSet", "llama-a10-1", {{"pod-template-hash", "1"}}), "llama-a10");
  EXPECT_EQ(owned("ReplicaSet", "by-hand"), "by-hand") << "nothing random to take off";
  EXPECT_EQ(owned("StatefulSet", "llama-a10"), "llama-a10");
  EXPECT_EQ(owned("StatefulSet", "llama-0", {{"leaderworkerset.sigs.k8s.io/name", "llama"}}),
            "llama");
  EXPECT_EQ(owned("RayCluster", "llama-a10-5d4f8b6c7d-x2x4x"), "llama-a10") << "of a fleet";
  EXPECT_EQ(owned("RayCluster", "llama-a10"), "llama-a10");
  EXPECT_EQ(owned("RayClusterFleet", "llama"), "llama");
  EXPECT_EQ(owned("LeaderWorkerSet", "llama"), "llama");
  EXPECT_EQ(owned("Notebook", "mine-5d4f8b6c7d"), "mine-5d4f8b6c7d");
}

TEST(DeploymentOfPod, WithoutAnOwnerIsReadOffItsName) {
  const auto named = [](const std::string& pod) { return DeploymentOfPod(pod, {}, std::nullopt); };
  EXPECT_EQ(named("llama-a10-5d4f8b6c7d-x2x4x"), "llama-a10");
  EXPECT_EQ(named("llama-a10-5d4f8b6c7d-x2x4x-head-bcdfg"), "llama-a10");
  EXPECT_EQ(named("llama-head-bcdfg"), "llama");
  EXPECT_EQ(named("llama-x2x4x"), "llama");
  EXPECT_EQ(named("llama-a10-0"), "llama-a10");
  EXPECT_EQ(named("llama"), "llama");
  EXPECT_EQ(named("gpt-small"), "gpt-small") << "words have vowels";
  EXPECT_EQ(named("-x2x4x"), "-x2x4x");
}

KubernetesObject Pod(const std::string& name, const std::string& address, bool ready = true) {
  KubernetesPod pod;
  pod.labels = {{"model", "llama"}};
  pod.address = address;
  pod.ready = ready;
  return {.name_space = "a", .name = name, .uid = "uid of " + name, .body = std::move(pod)};
}

KubernetesPod& Body(KubernetesObject& object) { return std::get<KubernetesPod>(object.body); }

FoundEngines Find(const std::vector<KubernetesObject>& pods, const KubernetesPorts& ports,
                  std::string_view label = "model") {
  KubernetesObjects objects;
  for (const KubernetesObject& pod : pods) {
    objects.push_back(std::make_shared<const KubernetesObject>(pod));
  }
  return EnginesOfPods(objects, ports, label);
}

// "deployment pod address closed" of each engine.
std::vector<std::string> Lines(const FoundEngines& found, const std::string& name_space = "a") {
  std::vector<std::string> lines;
  const auto engines = found.models.find({name_space, "llama"});
  if (engines == found.models.end()) return lines;
  for (const KubernetesEngine& engine : engines->second) {
    lines.push_back(engine.pod + " " + engine.address.ToString() +
                    (engine.closed.empty() ? "" : " " + engine.closed));
  }
  return lines;
}

TEST(EnginesOfPods, TakesWhatRunsAndIsReady) {
  KubernetesObject deleted = Pod("llama-1", "10.0.0.2");
  Body(deleted).deleting = true;
  KubernetesObject ended = Pod("llama-3", "10.0.0.4");
  Body(ended).ended = true;
  KubernetesObject worker = Pod("llama-4", "10.0.0.5");
  Body(worker).labels["ray.io/node-type"] = "worker";
  KubernetesObject other = Pod("llama-5", "10.0.0.6");
  Body(other).labels.clear();
  const FoundEngines found =
      Find({Pod("llama-0", "10.0.0.1"), deleted, Pod("llama-2", "10.0.0.3", false), ended, worker,
            other, Pod("llama-6", ""), Pod("llama-7", "no address"), Pod("llama-8", "fd00::8")},
           {.otherwise = 8000});
  EXPECT_THAT(Lines(found),
              ElementsAre("llama-0 10.0.0.1:8000", "llama-1 10.0.0.2:8000 its pod is being deleted",
                          "llama-2 10.0.0.3:8000 its pod is not ready", "llama-8 [fd00::8]:8000"));
  EXPECT_EQ(found.fault, "");
}

TEST(EnginesOfPods, AModelIsThereBeforeItsFirstAddress) {
  EXPECT_THAT(Lines(Find({Pod("llama-0", "")}, {.otherwise = 8000})), IsEmpty());
  EXPECT_EQ(Find({Pod("llama-0", "")}, {.otherwise = 8000}).models.size(), 1);
}

TEST(EnginesOfPods, PortsByLabelNumberAndName) {
  KubernetesObject labelled = Pod("llama-0", "10.0.0.1");
  Body(labelled).labels["port"] = "9000";
  Body(labelled).ports = {{"http", 8100}};
  KubernetesObject ranks = Pod("llama-1", "10.0.0.2");
  Body(ranks).ports = {{"http", 8100}};
  KubernetesObject nameless = Pod("llama-2", "10.0.0.3");
  const FoundEngines found =
      Find({labelled, ranks, nameless}, {.label = "port", .ports = {"http", "8101", "8100"}});
  EXPECT_THAT(Lines(found),
              ElementsAre("llama-0 10.0.0.1:9000", "llama-1 10.0.0.2:8100", "llama-1 10.0.0.2:8101",
                          "llama-2 10.0.0.3:8100", "llama-2 10.0.0.3:8101"));
  EXPECT_THAT(found.fault, HasSubstr("Pod a/llama-2 has no port \"http\""));
  Body(labelled).labels["port"] = "70000";
  EXPECT_THAT(Find({labelled}, {.label = "port", .otherwise = 1}).fault, HasSubstr("\"70000\""));
}

TEST(EnginesOfPods, OfTwoAtOneAddressTheOpenOneCounts) {
  KubernetesObject before = Pod("llama-0", "10.0.0.1");
  Body(before).deleting = true;
  EXPECT_THAT(Lines(Find({before, Pod("llama-1", "10.0.0.1")}, {.otherwise = 8000})),
              ElementsAre("llama-1 10.0.0.1:8000"));
}

TEST(EnginesOfPods, NamespacesAreApart) {
  KubernetesObject other = Pod("llama-0", "10.0.0.2");
  other.name_space = "b";
  const FoundEngines found = Find({Pod("llama-0", "10.0.0.1"), other}, {.otherwise = 8000});
  EXPECT_THAT(Lines(found, "a"), ElementsAre("llama-0 10.0.0.1:8000"));
  EXPECT_THAT(Lines(found, "b"), ElementsAre("llama-0 10.0.0.2:8000"));
}

TEST(EnginesOfPods, GpusByAnnotationThenByNode) {
  KubernetesObject annotated = Pod("llama-0", "10.0.0.1");
  Body(annotated).gpu = "L20";
  Body(annotated).node = "n";
  KubernetesObject placed = Pod("llama-1", "10.0.0.2");
  Body(placed).node = "n";
  FoundEngines found = Find({annotated, placed, Pod("llama-2", "10.0.0.3")}, {.otherwise = 8000});
  KubernetesObject node{.name_space = "", .name = "n", .uid = "", .body = KubernetesNode{"A10"}};
  AddGpus({std::make_shared<const KubernetesObject>(node)}, found.models);
  std::vector<std::string> gpus;
  for (const KubernetesEngine& engine : found.models.at({"a", "llama"})) gpus.push_back(engine.gpu);
  EXPECT_THAT(gpus, ElementsAre("L20", "A10", ""));
}

TEST(EnginesOfSlices, AreThoseOfTheServicesPort) {
  KubernetesEndpointSlice slice;
  slice.endpoints = {{.address = "10.0.0.1", .pod = "llama-a10-0", .uid = "u1", .ready = true},
                     {.address = "10.0.0.2", .pod = "llama-a10-1", .uid = "u2", .ready = false},
                     {.address = "fd00::3", .ready = true, .terminating = true}};
  slice.ports = {{"http", 8000}};
  KubernetesObject object{.name_space = "a", .name = "llama-xyz", .uid = "", .body = slice};
  const auto find = [&](const KubernetesPorts& ports) {
    object.body = slice;
    return EnginesOfSlices({std::make_shared<const KubernetesObject>(object)}, ports);
  };
  const FoundEngines found = find({});
  const KubernetesEngines& engines = found.models.at({"a", ""});
  ASSERT_EQ(engines.size(), 3);
  EXPECT_EQ(engines[0].deployment, "llama-a10");
  EXPECT_EQ(engines[0].address.ToString(), "10.0.0.1:8000");
  EXPECT_EQ(engines[1].closed, "its pod is not ready");
  EXPECT_EQ(engines[2].address.ToString(), "[fd00::3]:8000");
  EXPECT_EQ(engines[2].closed, "its pod is being deleted");

  slice.ports.push_back({"metrics", 9000});
  EXPECT_THAT(find({}).fault, HasSubstr("has several ports"));
  EXPECT_EQ(find({.ports = {"metrics"}}).models.at({"a", ""})[0].address.port(), 9000);
  EXPECT_THAT(find({.ports = {"other"}}).fault, HasSubstr("no port \"other\""));
}

TEST(EnginesOfSlices, APodWithAnAddressOfEachFamilyIsOneEngine) {
  KubernetesObjects objects;
  for (const char* const address : {"fd00::1", "10.0.0.1"}) {
    KubernetesEndpointSlice slice;
    slice.endpoints = {{.address = address, .pod = "llama-a10-0", .uid = "u1", .ready = true}};
    slice.ports = {{"a", 8000}, {"b", 8001}};
    objects.push_back(std::make_shared<const KubernetesObject>(
        KubernetesObject{.name_space = "a", .name = address, .uid = "", .body = slice}));
  }
  std::vector<std::string> addresses;
  const FoundEngines found = EnginesOfSlices(objects, {.ports = {"a", "b"}});
  for (const KubernetesEngine& engine : found.models.at({"a", ""})) {
    addresses.push_back(engine.address.ToString());
  }
  EXPECT_THAT(addresses, ElementsAre("10.0.0.1:8000", "10.0.0.1:8001"));
}

}  // namespace
}  // namespace headrace::discovery
