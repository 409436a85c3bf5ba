// Headrace before a real API server of Kubernetes: one for all tests, each in a namespace of its
// own.
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "admin/status_json.h"
#include "discovery/kubernetes_endpoints.h"
#include "discovery/kubernetes_profiles.h"
#include "gateway/test_gateway.h"
#include "net/http_client.h"
#include "system/files.h"
#include "test_cluster.h"

namespace headrace {
namespace {

using discovery::KubernetesView;
using gateway::Eventually;
using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What users do by kubectl, and kubelets by themselves.
class Api {
 public:
  explicit Api(const TestCluster& cluster)
      : url_(*system::ParseHttpUrl(cluster.server())), token_(cluster.admin_token()) {
    const auto context = *net::TlsContext::ForClient({.ca = ReadText(cluster.ca_file())});
    peer_ = std::make_shared<net::TlsPeer>(context, url_.host.host);
    client_ = std::make_shared<net::HttpClient>(threads_[0], net::HttpClientOptions{});
  }
  ~Api() {
    threads_[0].Run([this] { client_.reset(); });
  }

  json Call(const std::string& method, const std::string& path, const json& body = nullptr,
            const std::string& type = "application/json") {
    const std::string text = body.is_null() ? "" : body.dump();
    const auto [status, answer] = net::RunTask<std::pair<int, std::string>>(
        threads_[0], [&]() -> net::Task<std::pair<int, std::string>> {
          net::RequestHead head(method, path, url_.Authority());
          head.Add("authorization", "Bearer " + token_);
          head.Add("content-type", type);
          const net::Destination to(*system::Resolve(url_.host), peer_);
          const std::vector<std::string_view> pieces = {text};
          net::HttpCall call(*client_);
          const Seconds deadline = system::MonotonicNow() + 30;
          if (co_await call.Start(to, head, pieces, deadline) != net::CallError::kNone) {
            co_return std::pair(0, call.Fault());
          }
          std::string received;
          for (bool last = false; !last;) {
            const net::HttpCall::Piece piece = co_await call.ReadSome(deadline);
            if (piece.error != net::CallError::kNone) co_return std::pair(0, call.Fault());
            received += piece.data;
            last = piece.last;
          }
          co_return std::pair(call.status(), received);
        });
    if (status < 200 || status > 299) {
      throw std::runtime_error(method + " " + path + ": " + std::to_string(status) + " " + answer);
    }
    return json::parse(answer);
  }
  json Create(const std::string& path, const json& object) { return Call("POST", path, object); }
  json Merge(const std::string& path, const json& change) {
    return Call("PATCH", path, change, "application/merge-patch+json");
  }
  void Delete(const std::string& path, int grace = 0) {
    Call("DELETE", path, {{"gracePeriodSeconds", grace}});
  }

 private:
  const system::HttpUrl url_;
  const std::string token_;
  std::shared_ptr<net::TlsPeer> peer_;
  std::shared_ptr<net::HttpClient> client_;
  net::IoThreads threads_{1};
};

struct PodSpec {
  std::map<std::string, std::string> labels = {{"model.aibrix.ai/name", "llama2-7b"}};
  std::string address = "10.0.0.1";  // Empty: none yet.
  bool ready = true;
  json annotations = json::object();
};

class Kubernetes : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = TestCluster::Start();
    if (cluster_) api_ = std::make_unique<Api>(*cluster_);
  }
  static void TearDownTestSuite() {
    api_.reset();
    cluster_.reset();
  }
  void SetUp() override {
    if (!cluster_) GTEST_SKIP() << "no API server could be built here";
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    space_ = name;
    MakeNamespace(space_);
  }

  static void MakeNamespace(const std::string& name) {
    api_->Create("/api/v1/namespaces", {{"metadata", {{"name", name}}}});
  }
  static std::string Pods(const std::string& space, const std::string& name = "") {
    return "/api/v1/namespaces/" + space + "/pods" + (name.empty() ? "" : "/") + name;
  }
  // On a node, so that a deletion waits for the kubelet that is not there.
  static void MakePod(const std::string& space, const std::string& name, const PodSpec& pod = {}) {
    api_->Create(
        Pods(space),
        {{"metadata", {{"name", name}, {"labels", pod.labels}, {"annotations", pod.annotations}}},
         {"spec",
          {{"nodeName", "node-1"}, {"containers", {{{"name", "engine"}, {"image", "engine"}}}}}}});
    if (!pod.address.empty()) SetPod(space, name, pod.address, pod.ready);
  }
  static void SetPod(const std::string& space, const std::string& name, const std::string& address,
                     bool ready) {
    api_->Merge(Pods(space, name) + "/status",
                {{"status",
                  {{"phase", "Running"},
                   {"podIP", address},
                   {"podIPs", {{{"ip", address}}}},
                   {"conditions", {{{"type", "Ready"}, {"status", ready ? "True" : "False"}}}}}}});
  }
  void MakePod(const std::string& name, const PodSpec& pod = {}) const {
    MakePod(space_, name, pod);
  }
  void DeletePod(const std::string& name, int grace = 0) const {
    api_->Delete(Pods(space_, name), grace);
  }

  discovery::KubernetesAccess Access() const {
    return {.server = *system::ParseHttpUrl(cluster_->server()),
            .ca = {.text = {}, .file = cluster_->ca_file()},
            .certificate = {},
            .key = {},
            .token = {.text = cluster_->admin_token(), .file = {}},
            .verify = true,
            .server_name = {},
            .name_space = space_};
  }
  // Tests that wait for attempts shall not wait for long.
  static discovery::KubernetesCluster::Options Quick() {
    return {.watch = 5, .first_retry = 0.1, .last_retry = 0.5};
  }
  std::shared_ptr<discovery::KubernetesCluster> Open() const {
    return discovery::KubernetesCluster::Open(Access(), Quick());
  }
  discovery::KubernetesSelection Labelled() const {
    return {.namespaces = {space_},
            .selector = "model.aibrix.ai/name",
            .model_label = "model.aibrix.ai/name",
            .ports = {.label = "model.aibrix.ai/port", .otherwise = 8000}};
  }

  inline static std::unique_ptr<TestCluster> cluster_;
  inline static std::unique_ptr<Api> api_;
  std::string space_;
};

// "pod address closed" of each engine of all models.
std::vector<std::string> Engines(KubernetesView& view) {
  std::vector<std::string> lines;
  const auto findings = view.Look();
  for (const auto& [place, engines] : findings->models) {
    for (const auto& engine : engines) {
      lines.push_back(engine.pod + " " + engine.address.ToString() +
                      (engine.closed.empty() ? "" : " (" + engine.closed + ")"));
    }
  }
  return lines;
}

testing::AssertionResult Becomes(KubernetesView& view, const std::vector<std::string>& wanted) {
  if (Eventually([&] { return Engines(view) == wanted; })) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << testing::PrintToString(Engines(view)) << " " << view.Look()->outage;
}

TEST_F(Kubernetes, PodsAppearBecomeReadyMoveAndVanish) {
  KubernetesView view(Open(), Labelled());
  ASSERT_TRUE(Eventually([&] { return view.Look()->complete; })) << view.Look()->outage;
  EXPECT_THAT(Engines(view), IsEmpty());
  MakePod("llama-0", {.address = ""});
  MakePod("other", {.labels = {{"app", "other"}}});
  ASSERT_TRUE(Eventually([&] { return view.Look()->models.size() == 1; }));
  EXPECT_THAT(Engines(view), IsEmpty()) << "it has no address yet";
  SetPod(space_, "llama-0", "10.0.0.1", false);
  EXPECT_TRUE(Becomes(view, {"llama-0 10.0.0.1:8000 (its pod is not ready)"}));
  SetPod(space_, "llama-0", "10.0.0.1", true);
  EXPECT_TRUE(Becomes(view, {"llama-0 10.0.0.1:8000"}));
  MakePod("llama-1",
          {.labels = {{"model.aibrix.ai/name", "llama2-7b"}, {"model.aibrix.ai/port", "9000"}},
           .address = "fd00::7"});
  EXPECT_TRUE(Becomes(view, {"llama-0 10.0.0.1:8000", "llama-1 [fd00::7]:9000"}));
  DeletePod("llama-0", /*grace=*/300);
  EXPECT_TRUE(Becomes(
      view, {"llama-0 10.0.0.1:8000 (its pod is being deleted)", "llama-1 [fd00::7]:9000"}));
  DeletePod("llama-0");
  EXPECT_TRUE(Becomes(view, {"llama-1 [fd00::7]:9000"}));
}

TEST_F(Kubernetes, AnAddressThatIsUsedAgainIsAnotherEngine) {
  KubernetesView view(Open(), Labelled());
  const auto uid = [&]() -> std::string {
    const auto findings = view.Look();
    if (findings->models.empty() || findings->models.begin()->second.empty()) return "";
    return findings->models.begin()->second.front().uid;
  };
  MakePod("llama-0");
  ASSERT_TRUE(Becomes(view, {"llama-0 10.0.0.1:8000"}));
  const std::string before = uid();
  // Of the same name, as a StatefulSet's is.
  DeletePod("llama-0");
  MakePod("llama-0");
  EXPECT_TRUE(Eventually([&] { return !uid().empty() && uid() != before; }));
}

TEST_F(Kubernetes, TwoNamespacesAreApart) {
  const std::string other = space_ + "-other";
  MakeNamespace(other);
  auto selection = Labelled();
  selection.namespaces.push_back(other);
  KubernetesView view(Open(), selection);
  MakePod("llama-0");
  MakePod(other, "llama-0", {.address = "10.0.0.2"});
  ASSERT_TRUE(Becomes(view, {"llama-0 10.0.0.1:8000", "llama-0 10.0.0.2:8000"}));
  EXPECT_THAT(view.Look()->models,
              UnorderedElementsAre(Pair(Pair(space_, "llama2-7b"), testing::_),
                                   Pair(Pair(other, "llama2-7b"), testing::_)));
}

TEST_F(Kubernetes, AnApiServerThatIsAwayTakesNothingAway) {
  KubernetesView view(Open(), Labelled());
  MakePod("llama-0");
  ASSERT_TRUE(Becomes(view, {"llama-0 10.0.0.1:8000"}));
  cluster_->Kill();
  ASSERT_TRUE(Eventually([&] { return !view.Look()->outage.empty(); }));
  EXPECT_THAT(view.Look()->outage, HasSubstr("cannot be listed and watched at the Kubernetes API"));
  EXPECT_THAT(Engines(view), ElementsAre("llama-0 10.0.0.1:8000"));
  cluster_->Restart();
  MakePod("llama-1", {.address = "10.0.0.2"});
  EXPECT_TRUE(Becomes(view, {"llama-0 10.0.0.1:8000", "llama-1 10.0.0.2:8000"}));
  EXPECT_TRUE(Eventually([&] { return view.Look()->outage.empty(); })) << view.Look()->outage;
}

TEST_F(Kubernetes, AServiceAccountsTokenIsReadAgainAsItRotates) {
  const std::string root = "/api/v1/namespaces/" + space_;
  api_->Create(root + "/serviceaccounts", {{"metadata", {{"name", "headrace"}}}});
  const system::TemporaryFolder folder;
  const std::string file = (folder.path() / "token").string();
  folder.Write("token", cluster_->Token(space_, "headrace") + "\n");
  discovery::KubernetesAccess access = Access();
  access.token = {.text = {}, .file = file};
  KubernetesView view(discovery::KubernetesCluster::Open(access, Quick()), Labelled());
  ASSERT_TRUE(Eventually([&] { return !view.Look()->outage.empty(); }));
  EXPECT_THAT(view.Look()->outage, HasSubstr("give it the verbs `list` and `watch`"));
  EXPECT_THAT(view.Look()->outage, HasSubstr("pods in namespace " + space_));

  const std::string rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/" + space_;
  api_->Create(
      rbac + "/roles",
      {{"metadata", {{"name", "headrace"}}},
       {"rules", {{{"apiGroups", {""}}, {"resources", {"pods"}}, {"verbs", {"list", "watch"}}}}}});
  api_->Create(
      rbac + "/rolebindings",
      {{"metadata", {{"name", "headrace"}}},
       {"roleRef",
        {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "Role"}, {"name", "headrace"}}},
       {"subjects", {{{"kind", "ServiceAccount"}, {"name", "headrace"}, {"namespace", space_}}}}});
  MakePod("llama-0");
  ASSERT_TRUE(Becomes(view, {"llama-0 10.0.0.1:8000"}));

  cluster_->Rotate();
  ASSERT_TRUE(Eventually([&] { return !view.Look()->outage.empty(); }));
  ASSERT_TRUE(Eventually([&] {
    return view.Look()->outage.find("does not take the token") != std::string::npos;
  })) << view.Look()->outage;
  folder.Write("token", cluster_->Token(space_, "headrace"));
  DeletePod("llama-0");
  EXPECT_TRUE(Becomes(view, {}));
  EXPECT_TRUE(Eventually([&] { return view.Look()->outage.empty(); })) << view.Look()->outage;
}

TEST_F(Kubernetes, AThousandPods) {
  constexpr int kPods = 1000;
  for (int i = 0; i < kPods; ++i) {
    MakePod("llama-" + std::to_string(i),
            {.address = "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1)});
  }
  const auto cluster = Open();
  const Seconds began = system::MonotonicNow();
  KubernetesView view(cluster, Labelled());
  ASSERT_TRUE(Eventually([&] { return Engines(view).size() == kPods; }));
  const Seconds listed = system::MonotonicNow() - began;
  const Seconds look_began = system::MonotonicNow();
  SetPod(space_, "llama-7", "10.9.9.9", true);
  ASSERT_TRUE(Eventually([&] {
    return Engines(view)[7].find("10.") != std::string::npos &&
           testing::Matches(Contains("llama-7 10.9.9.9:8000"))(Engines(view));
  }));
  std::printf("listed in %.0f ms; one change after %.0f ms\n", listed * 1e3,
              (system::MonotonicNow() - look_began) * 1e3);
}

TEST_F(Kubernetes, AnInferencePoolAndItsObjectives) {
  const std::string pools =
      "/apis/inference.networking.k8s.io/v1/namespaces/" + space_ + "/inferencepools";
  const std::string objectives =
      "/apis/inference.networking.x-k8s.io/v1alpha2/namespaces/" + space_ + "/inferenceobjectives";
  KubernetesView view(Open(), {.from = discovery::KubernetesSelection::From::kInferencePool,
                               .name = "llama",
                               .namespaces = {space_}});
  MakePod("a-0", {.labels = {{"app", "a"}}});
  MakePod("b-0", {.labels = {{"app", "b"}}, .address = "10.0.0.2"});
  ASSERT_TRUE(Eventually([&] {
    return view.Look()->outage.find("There is no InferencePool llama") != std::string::npos;
  })) << view.Look()->outage;
  api_->Create(pools,
               {{"apiVersion", "inference.networking.k8s.io/v1"},
                {"kind", "InferencePool"},
                {"metadata", {{"name", "llama"}}},
                {"spec",
                 {{"selector", {{"matchLabels", {{"app", "a"}}}}},
                  {"targetPorts", {{{"number", 8000}}, {{"number", 8001}}}},
                  {"endpointPickerRef", {{"name", "picker"}, {"port", {{"number", 9002}}}}}}}});
  ASSERT_TRUE(Becomes(view, {"a-0 10.0.0.1:8000", "a-0 10.0.0.1:8001"}));
  ASSERT_TRUE(Eventually([&] { return view.Look()->outage.empty(); })) << view.Look()->outage;
  const auto objective = [&](const std::string& name, const std::string& pool, int priority) {
    api_->Create(objectives, {{"apiVersion", "inference.networking.x-k8s.io/v1alpha2"},
                              {"kind", "InferenceObjective"},
                              {"metadata", {{"name", name}}},
                              {"spec", {{"poolRef", {{"name", pool}}}, {"priority", priority}}}});
  };
  objective("batch", "llama", -1);
  objective("chat", "other", 5);
  const auto priorities = [&] { return view.Look()->objectives; };
  ASSERT_TRUE(Eventually([&] { return !priorities().empty(); }));
  EXPECT_THAT(priorities(), ElementsAre(Pair("batch", -1)));
  api_->Merge(objectives + "/batch", {{"spec", {{"priority", -7}}}});
  EXPECT_TRUE(Eventually([&] { return priorities()["batch"] == -7; }));
  // Other pods, at another port.
  api_->Merge(
      pools + "/llama",
      {{"spec",
        {{"selector", {{"matchLabels", {{"app", "b"}}}}}, {"targetPorts", {{{"number", 9000}}}}}}});
  EXPECT_TRUE(Becomes(view, {"b-0 10.0.0.2:9000"}));
}

TEST_F(Kubernetes, EndpointSlicesOfAService) {
  KubernetesView view(Open(), {.from = discovery::KubernetesSelection::From::kService,
                               .name = "llama",
                               .namespaces = {space_}});
  const std::string slices = "/apis/discovery.k8s.io/v1/namespaces/" + space_ + "/endpointslices";
  const auto endpoint = [](const std::string& address, const std::string& pod, bool ready) {
    return json{{"addresses", {address}},
                {"conditions", {{"ready", ready}}},
                {"targetRef", {{"kind", "Pod"}, {"name", pod}, {"uid", "uid of " + pod}}}};
  };
  api_->Create(
      slices,
      {{"metadata", {{"name", "llama-1"}, {"labels", {{"kubernetes.io/service-name", "llama"}}}}},
       {"addressType", "IPv4"},
       {"ports", {{{"name", "http"}, {"port", 8000}}}},
       {"endpoints", {endpoint("10.0.0.1", "llama-a10-0", true)}}});
  ASSERT_TRUE(Becomes(view, {"llama-a10-0 10.0.0.1:8000"}));
  api_->Merge(
      slices + "/llama-1",
      {{"endpoints",
        {endpoint("10.0.0.1", "llama-a10-0", false), endpoint("10.0.0.2", "llama-a10-1", true)}}});
  EXPECT_TRUE(Becomes(
      view, {"llama-a10-0 10.0.0.1:8000 (its pod is not ready)", "llama-a10-1 10.0.0.2:8000"}));
}

TEST_F(Kubernetes, ProfilesInAConfigMap) {
  const auto profile = [](double tput) { return gateway::TestGateway::ProfileText("a10", tput); };
  const std::string maps = "/api/v1/namespaces/" + space_ + "/configmaps";
  discovery::KubernetesProfiles source(Open(), "profiles", {"a10", "l20"});
  source.Refresh(0);
  EXPECT_EQ(source.outage(), "");
  EXPECT_THAT(source.readings()[0].error, HasSubstr("there is no such ConfigMap"));
  api_->Create(maps, {{"metadata", {{"name", "profiles"}}}, {"data", {{"a10.json", profile(3)}}}});
  const auto tput = [&] {
    source.Refresh(0);
    const auto& reading = source.readings()[0];
    return reading.profile && reading.error.empty() ? reading.profile->tput.at(0, 0) : 0;
  };
  ASSERT_TRUE(Eventually([&] { return tput() == 3; })) << source.readings()[0].error;
  EXPECT_THAT(source.readings()[1].error,
              HasSubstr("l20.json in ConfigMap " + space_ + "/profiles: no such key"));
  EXPECT_THAT(source.readings()[1].error, HasSubstr("that is there: a10.json"));
  api_->Merge(maps + "/profiles", {{"data", {{"a10.json", profile(4)}}}});
  EXPECT_TRUE(Eventually([&] { return tput() == 4; }));
  api_->Delete(maps + "/profiles");
  EXPECT_TRUE(Eventually([&] { return tput() == 0; }));
  EXPECT_EQ(source.readings()[0].profile->tput.at(0, 0), 4) << "the last good one stays in force";
}

// --- The whole gateway, with emulated engines as pods

class ServedByPods : public Kubernetes {
 protected:
  void SetUp() override {
    Kubernetes::SetUp();
    if (!cluster_) return;
    t_.config.kubernetes.kubeconfig = cluster_->kubeconfig();
    config::ModelConfig& model = t_.config.models[0];
    model.name = config::kAny;
    model.policy = "least-request";
    model.kubernetes.emplace().namespaces = {space_};
  }
  // A pod at loopback that is this engine.
  const emulator::EmulatedEngine& AddPod(const std::string& space, const std::string& name,
                                         const std::string& model = "llama2-7b") {
    emulator::EmulatedEngineOptions options;
    options.model = model;
    options.engine = *engine::GpuCatalog::Parse(engine::ShippedGpuCatalog(), "gpus.json")
                          ->Engine("a10", "llama2-7b", 0);
    options.speed = 1000;
    options.listen = net::AnyLoopbackPort();
    engines_.push_back(*emulator::EmulatedEngine::Start(options));
    MakePod(
        space, name,
        {.labels = {{"model.aibrix.ai/name", model},
                    {"model.aibrix.ai/port", std::to_string(engines_.back()->address().port())}},
         .address = "127.0.0.1"});
    return *engines_.back();
  }
  int Chat(const std::string& model = "llama2-7b") const {
    return t_.Chat(gateway::ChatBody(3, false, "", model)).status;
  }
  bool Serves(const std::string& model) const {
    return Eventually([&] { return Chat(model) == 200; });
  }

  std::vector<std::unique_ptr<emulator::EmulatedEngine>> engines_;
  gateway::TestGateway t_;
};

TEST_F(ServedByPods, ModelsComeAndGoWithTheirPods) {
  AddPod(space_, "llama-a10-5d4f8b6c7d-x2x4x");
  t_.Start();
  ASSERT_TRUE(Serves("llama2-7b"));
  EXPECT_EQ(Chat("mistral"), 404);
  AddPod(space_, "mistral-0", "mistral");
  ASSERT_TRUE(Serves("mistral"));
  const std::string status = admin::StatusJson(*t_.gateway, std::nullopt, 0);
  EXPECT_THAT(status, HasSubstr("\"llama-a10\"")) << "the deployment, by the pod's name";
  EXPECT_EQ(t_.Metric("headrace_endpoint_source_up"), 2);
  // One that is told to go: requests go elsewhere, and end there.
  DeletePod("mistral-0", /*grace=*/300);
  ASSERT_TRUE(Eventually([&] { return Chat("mistral") == 503; }));
  EXPECT_THAT(admin::StatusJson(*t_.gateway, std::nullopt, 0),
              HasSubstr("its pod is being deleted"));
  DeletePod("mistral-0");
  EXPECT_TRUE(Serves("llama2-7b"));
  EXPECT_EQ(Chat("mistral"), 503) << "its name stays for a while";
}

TEST_F(ServedByPods, TheSameModelInTwoNamespacesIsTwoPools) {
  const std::string other = space_ + "-b";
  MakeNamespace(other);
  t_.config.models[0].kubernetes->namespaces = {space_, other};
  const auto& first = AddPod(space_, "llama-0");
  const auto& second = AddPod(other, "llama-0");
  t_.Start();
  ASSERT_TRUE(Serves(space_ + "/llama2-7b"));
  ASSERT_TRUE(Serves(other + "/llama2-7b"));
  ASSERT_TRUE(Serves("llama2-7b"));
  const auto to = [&](const std::string& model) {
    return t_.Chat(gateway::ChatBody(3, false, "", model)).Header("target-pod");
  };
  EXPECT_EQ(to(space_ + "/llama2-7b"), first.address().ToString());
  EXPECT_EQ(to(other + "/llama2-7b"), second.address().ToString());
  EXPECT_EQ(to("llama2-7b"), first.address().ToString()) << "the first of the namespaces";
}

TEST_F(ServedByPods, AModelOfItsOwnComesBeforeThoseThatAreFound) {
  config::ModelConfig own = t_.config.models[0];
  own.name = "llama2-7b";
  own.aliases = {"llama"};
  t_.config.models.insert(t_.config.models.begin(), own);
  AddPod(space_, "llama-0");
  t_.Start();
  ASSERT_TRUE(Serves("llama"));
  EXPECT_EQ(t_.gateway->pools().list().size(), 1);
}

TEST_F(ServedByPods, AnInferencePoolsObjectivesAreTheModels) {
  config::ModelConfig& model = t_.config.models[0];
  model.name = "llama2-7b";
  model.objectives = {{.name = "batch", .priority = 3}, {.name = "own", .priority = 4}};
  model.kubernetes->from = {.kind = config::KubernetesSourceConfig::Kind::kInferencePool,
                            .name = "pool"};
  const auto& engine = AddPod(space_, "llama-0");
  api_->Create("/apis/inference.networking.k8s.io/v1/namespaces/" + space_ + "/inferencepools",
               {{"apiVersion", "inference.networking.k8s.io/v1"},
                {"kind", "InferencePool"},
                {"metadata", {{"name", "pool"}}},
                {"spec",
                 {{"selector", {{"matchLabels", {{"model.aibrix.ai/name", "llama2-7b"}}}}},
                  {"targetPorts", {{{"number", engine.address().port()}}}},
                  {"endpointPickerRef", {{"name", "picker"}, {"port", {{"number", 9002}}}}}}}});
  const std::string objectives =
      "/apis/inference.networking.x-k8s.io/v1alpha2/namespaces/" + space_ + "/inferenceobjectives";
  api_->Create(objectives, {{"apiVersion", "inference.networking.x-k8s.io/v1alpha2"},
                            {"kind", "InferenceObjective"},
                            {"metadata", {{"name", "batch"}}},
                            {"spec", {{"poolRef", {{"name", "pool"}}}, {"priority", -1}}}});
  t_.Start();
  ASSERT_TRUE(Serves("llama2-7b"));
  const auto priority = [&](std::string_view name) {
    return t_.gateway->pools().list()[0]->PriorityOf(name);
  };
  EXPECT_TRUE(Eventually([&] { return priority("batch") == -1; }));
  EXPECT_EQ(priority("own"), 4);
  api_->Merge(objectives + "/batch", {{"spec", {{"priority", -2}}}});
  EXPECT_TRUE(Eventually([&] { return priority("batch") == -2; }));
}

TEST_F(ServedByPods, ARunningGatewayTurnsToKubernetes) {
  const config::Config kubernetes = t_.config;
  t_.config.models[0].name = "llama2-7b";
  t_.config.models[0].kubernetes.reset();
  t_.AddEngine("a10");
  t_.Start();
  ASSERT_TRUE(Serves("llama2-7b"));
  AddPod(space_, "mistral-0", "mistral");
  const auto applied = t_.gateway->Apply(kubernetes);
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_TRUE(Serves("mistral"));
  EXPECT_EQ(Chat("llama2-7b"), 404);
  ASSERT_TRUE(t_.gateway->Apply(t_.config));
  EXPECT_TRUE(Serves("llama2-7b"));
}

TEST_F(ServedByPods, ProfilesByNamespaceAndGpu) {
  t_.config.profiles.source = config::ProfilesConfig::Source::kConfigMap;
  t_.config.profiles.configmap = "profiles";
  config::DeploymentConfig any;
  any.name = config::kAny;
  any.profile = "{namespace}-{gpu}";
  t_.config.models[0].deployments = {any};
  t_.config.models[0].policy = "slo";
  // The kubeconfig's own namespace.
  const std::string maps = "/api/v1/namespaces/default/configmaps";
  api_->Create(
      maps,
      {{"metadata", {{"name", "profiles"}}},
       {"data", {{space_ + "-NVIDIA-A10.json", gateway::TestGateway::ProfileText("a10", 5)}}}});
  api_->Create(
      "/api/v1/nodes",
      {{"metadata", {{"name", "node-1"}, {"labels", {{"nvidia.com/gpu.product", "NVIDIA-A10"}}}}}});
  AddPod(space_, "llama-0");
  t_.Start();
  ASSERT_TRUE(Serves("llama2-7b"));
  EXPECT_TRUE(Eventually([&] {
    const auto profiles = t_.gateway->Profiles();
    return profiles.size() == 1 && profiles[0].reading.profile != nullptr;
  }));
  EXPECT_THAT(t_.gateway->Profiles()[0].reading.origin, HasSubstr(space_ + "-NVIDIA-A10.json"));
}

TEST_F(ServedByPods, RequestsGoOnWhileTheApiServerIsAway) {
  AddPod(space_, "llama-0");
  t_.Start();
  ASSERT_TRUE(Serves("llama2-7b"));
  cluster_->Kill();
  ASSERT_TRUE(Eventually([&] { return t_.Metric("headrace_endpoint_source_up") == 0; }));
  EXPECT_EQ(Chat(), 200);
  EXPECT_THAT(admin::StatusJson(*t_.gateway, std::nullopt, 0), HasSubstr("\"source_fault\""));
  EXPECT_TRUE(t_.Said("cannot be listed and watched"));
  cluster_->Restart();
  EXPECT_EQ(Chat(), 200);
  EXPECT_TRUE(Eventually([&] { return t_.Metric("headrace_endpoint_source_up") == 1; }));
}

}  // namespace
}  // namespace headrace
