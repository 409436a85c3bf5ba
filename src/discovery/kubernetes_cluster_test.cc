// What a real API server cannot be made to do when a test wants it. The rest is tested before a
// real one: tests/kubernetes/kubernetes_test.cc.
#include "discovery/kubernetes_cluster.h"

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "discovery/kubernetes_endpoints.h"
#include "net/test_peers.h"
#include "system/clock.h"

namespace headrace::discovery {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Pod(const std::string& name, int version) {
  return R"({"metadata":{"namespace":"a","name":")" + name + R"(","resourceVersion":")" +
         std::to_string(version) + R"("}})";
}

std::string List(int version, const std::vector<std::string>& pods,
                 const std::string& continue_from = "") {
  std::string items;
  for (const std::string& pod : pods) items += (items.empty() ? "" : ",") + Pod(pod, version);
  return R"({"metadata":{"resourceVersion":")" + std::to_string(version) + R"(","continue":")" +
         continue_from + R"("},"items":[)" + items + "]}";
}

std::string Response(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

constexpr std::string_view kWatch = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

std::string Chunk(const std::string& line) {
  char size[16];
  std::snprintf(size, sizeof(size), "%zx", line.size() + 1);
  return std::string(size) + "\r\n" + line + "\n\r\n";
}

std::string Event(const std::string& type, const std::string& object) {
  return Chunk(R"({"type":")" + type + R"(","object":)" + object + "}");
}

// A server that is driven step by step, and a table that follows it.
class FakeApiServer : public testing::Test {
 protected:
  void Open(KubernetesCluster::Options options = {.first_retry = 0.01, .last_retry = 0.05}) {
    KubernetesAccess access;
    access.server = *system::ParseHttpUrl(listener_.address().ToString());
    access.token.text = "the-token";
    cluster_ = KubernetesCluster::Open(access, options);
    table_ = cluster_->Watch({.kind = KubernetesKind::kPod, .name_space = "a"});
  }
  // The next request on this connection, or on another one; its first line.
  std::string NextRequest() {
    for (;;) {
      if (!peer_) peer_.emplace(listener_.Accept());
      const std::string head = peer_->ReadUntil("\r\n\r\n");
      if (head.empty()) {
        peer_.reset();
        continue;
      }
      EXPECT_THAT(head, HasSubstr("authorization: Bearer the-token"));
      return head.substr(0, head.find(" HTTP"));
    }
  }
  void Send(std::string_view bytes) { peer_->Send(bytes); }
  // Ends the connection in the middle of a response.
  void Cut() { peer_.reset(); }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& object : table_->Read().objects) names.push_back(object->name);
    return names;
  }
  testing::AssertionResult Becomes(const std::vector<std::string>& names) const {
    const Seconds end = system::MonotonicNow() + 20;
    while (Names() != names) {
      if (system::MonotonicNow() > end) {
        return testing::AssertionFailure() << testing::PrintToString(Names());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return testing::AssertionSuccess();
  }

  net::RawListener listener_;
  std::optional<net::RawPeer> peer_;
  std::shared_ptr<KubernetesCluster> cluster_;
  std::shared_ptr<const KubernetesTable> table_;
};

TEST_F(FakeApiServer, ListsInPagesAndWatchesFromThere) {
  Open();
  EXPECT_EQ(NextRequest(), "GET /api/v1/namespaces/a/pods?limit=200");
  Send(Response(200, List(7, {"p"}, "more of it")));
  EXPECT_EQ(NextRequest(), "GET /api/v1/namespaces/a/pods?limit=200&continue=more%20of%20it");
  EXPECT_THAT(Names(), IsEmpty()) << "half a list says nothing of what is not in it";
  Send(Response(200, List(7, {"q"})));
  EXPECT_EQ(NextRequest(),
            "GET /api/v1/namespaces/a/pods?watch=true&allowWatchBookmarks=true&"
            "timeoutSeconds=60&resourceVersion=7");
  EXPECT_TRUE(Becomes({"p", "q"}));
  Send(kWatch);
  Send(Event("ADDED", Pod("r", 8)) + Event("DELETED", Pod("p", 9)));
  EXPECT_TRUE(Becomes({"q", "r"}));
  EXPECT_EQ(table_->Read().outage, "");
}

TEST_F(FakeApiServer, AWatchThatIsCutGoesOnFromItsLastBookmark) {
  Open();
  NextRequest();
  Send(Response(200, List(7, {"p"})));
  NextRequest();
  Send(kWatch);
  Send(Event("BOOKMARK", R"({"metadata":{"resourceVersion":"50"}})"));
  Send(Event("ADDED", Pod("q", 51)));
  EXPECT_TRUE(Becomes({"p", "q"}));
  Send("20\r\n{\"type\":\"ADD");  // Half an event.
  Cut();
  EXPECT_THAT(NextRequest(), HasSubstr("resourceVersion=51"));
  Send(kWatch);
  Send(Event("ADDED", Pod("r", 52)));
  EXPECT_TRUE(Becomes({"p", "q", "r"}));
}

TEST_F(FakeApiServer, ListsAgainWhereTheVersionIsGone) {
  Open();
  NextRequest();
  Send(Response(200, List(7, {"p"})));
  NextRequest();
  // As an event, …
  Send(kWatch);
  Send(Event("ERROR", R"({"kind":"Status","code":410,"message":"too old"})"));
  EXPECT_THAT(NextRequest(), HasSubstr("limit=200"));
  EXPECT_THAT(Names(), ElementsAre("p")) << "until there is another list";
  Send(Response(200, List(9, {"q"})));
  EXPECT_TRUE(Becomes({"q"}));
  EXPECT_THAT(NextRequest(), HasSubstr("resourceVersion=9"));
  // … and as a status, …
  Send(Response(410, R"({"kind":"Status","code":410,"message":"expired"})"));
  EXPECT_THAT(NextRequest(), HasSubstr("limit=200"));
  Send(Response(200, List(11, {"r"}, "c")));
  // … of a list's next page, too.
  EXPECT_THAT(NextRequest(), HasSubstr("continue=c"));
  Send(Response(410, "{}"));
  EXPECT_THAT(NextRequest(), Not(HasSubstr("continue")));
  Send(Response(200, List(12, {"s"})));
  EXPECT_TRUE(Becomes({"s"}));
}

TEST_F(FakeApiServer, ListsAgainAfterAnEventThatCannotBeRead) {
  Open();
  NextRequest();
  Send(Response(200, List(7, {"p"})));
  NextRequest();
  Send(kWatch);
  Send(Chunk("<html>"));
  EXPECT_THAT(NextRequest(), HasSubstr("limit=200"));
  EXPECT_THAT(table_->Read().outage, HasSubstr("an event is not a JSON object"));
  EXPECT_THAT(Names(), ElementsAre("p"));
  Send(Response(200, List(9, {"q"})));
  EXPECT_TRUE(Becomes({"q"}));
  EXPECT_EQ(table_->Read().outage, "");
}

TEST_F(FakeApiServer, ABrokenObjectIsSaidUntilThatOneIsWhole) {
  Open();
  const auto pools = cluster_->Watch({.kind = KubernetesKind::kInferencePool, .name_space = "a"});
  // Both tables ask; the pods' come first.
  EXPECT_THAT(NextRequest(), HasSubstr("pods"));
  auto pods = std::exchange(peer_, std::nullopt);
  EXPECT_THAT(NextRequest(), HasSubstr("inferencepools"));
  const auto pool = [](const std::string& name, int version, const std::string& label) {
    return R"({"metadata":{"namespace":"a","name":")" + name + R"(","resourceVersion":")" +
           std::to_string(version) + R"("},"spec":{"selector":{"matchLabels":{)" + label +
           R"(}},"targetPorts":[{"number":8000}]}})";
  };
  const std::string kLabel = R"("app":"x")";
  Send(Response(200, R"({"metadata":{"resourceVersion":"1"},"items":[)" + pool("b", 1, "") + "," +
                         pool("c", 1, "") + "]}"));
  NextRequest();
  Send(kWatch);
  const auto fault = [&](std::size_t objects) {
    const Seconds end = system::MonotonicNow() + 20;
    while (pools->Read().objects.size() != objects && system::MonotonicNow() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return pools->Read().fault;
  };
  Send(Event("ADDED", pool("d", 2, kLabel)));
  EXPECT_THAT(fault(1), HasSubstr("a/b has no spec.selector")) << "another one is no cure";
  Send(Event("MODIFIED", pool("b", 3, kLabel)));
  EXPECT_THAT(fault(2), HasSubstr("a/c has no spec.selector"));
  Send(Event("DELETED", pool("c", 4, "")) + Event("ADDED", pool("e", 5, kLabel)));
  EXPECT_EQ(fault(3), "");
}

TEST_F(FakeApiServer, AWatchThatIsSilentIsGivenUp) {
  Open({.watch = 0.1, .patience = 0.2, .first_retry = 0.01, .last_retry = 0.05});
  NextRequest();
  Send(Response(200, List(7, {"p"})));
  NextRequest();
  Send(kWatch);
  // The connection stays open, and nothing comes.
  auto silent = std::exchange(peer_, std::nullopt);
  EXPECT_THAT(NextRequest(), HasSubstr("resourceVersion=7"));
  Send(kWatch);
  Send(Event("ADDED", Pod("q", 8)));
  EXPECT_TRUE(Becomes({"p", "q"}));
}

TEST_F(FakeApiServer, OneQueryIsWatchedOnceForAllWhoAsk) {
  Open();
  EXPECT_EQ(cluster_->Watch({.kind = KubernetesKind::kPod, .name_space = "a"}), table_);
  EXPECT_NE(cluster_->Watch({.kind = KubernetesKind::kPod, .name_space = "b"}), table_);
}

TEST(KubernetesView, WhatWasFoundAnotherWayStaysWhileTheServerIsAway) {
  KubernetesView::Findings before{.complete = true};
  before.models[{"a", ""}].push_back(
      {.deployment = "a10",
       .pod = "a10-0",
       .uid = "u",
       .node = "",
       .gpu = "",
       .address = *system::Resolve(*system::ParseHostPort("127.0.0.1:8000"))});
  KubernetesAccess access;
  access.server = *system::ParseHttpUrl("127.0.0.1:1");
  KubernetesView view(KubernetesCluster::Open(access), {.namespaces = {"a"}},
                      std::make_shared<const KubernetesView::Findings>(before));
  view.Wait(10);
  const auto found = view.Look();
  EXPECT_THAT(found->outage, HasSubstr("pods in namespace a cannot be listed"));
  EXPECT_TRUE(found->complete);
  EXPECT_EQ(found->models.at({"a", ""}).size(), 1);
}

}  // namespace
}  // namespace headrace::discovery
