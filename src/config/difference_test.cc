#include "config/difference.h"

#include <gmock/gmock.h>

#include <array>
#include <map>

#include "config/config.h"
#include "config/config_schema.h"
#include "config/test_options.h"

namespace headrace::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::array<std::string_view, 4> kPolicies = {"slo-headroom", "slo", "least-request",
                                                       "random"};

Result<Config> Load(const std::string& text) { return LoadConfig(text, "h.yaml", kPolicies); }

// "changed models[m].policy, live"
std::vector<std::string> Changes(const Config& before, const Config& after) {
  std::vector<std::string> texts;
  for (const OptionChange& change : Difference(before, after)) {
    const char* kind = change.kind == OptionChange::Kind::kAdded     ? "added "
                       : change.kind == OptionChange::Kind::kRemoved ? "removed "
                                                                     : "changed ";
    texts.push_back(kind + change.path + (change.live ? ", live" : ", restart"));
  }
  return texts;
}

// Values that an option of the type may have, as texts.
std::vector<std::string> ValuesOf(const OptionDoc& doc) {
  static const std::map<std::string, std::string> kOthers = {
      {"name", "another"},
      {"name or path", "another"},
      {"path", "another"},
      {"URL path", "/another"},
      {"address", "another:1"},
      {"address or `none`", "another:1"},
      {"URL", "https://another"},
      {"URL path or `none`", "none"},
      {"key", "another"},
      {"list: header", "[\"X-Other: another\"]"},
      {"list: name", "[another]"},
      {"list: URL path", "[/another]"},
      {"policy", "random"},
      {"Redis URL", "redis://another:6379/1"},
      {"origin", "service/another"},
      {"label selector", "another"},
  };
  if (const auto other = kOthers.find(doc.type); other != kOthers.end()) return {other->second};
  const std::string separator = doc.bounds.find(" to ") != std::string::npos ? " to " : ", ";
  std::vector<std::string> values;
  for (std::size_t at = 0; at < doc.bounds.size();) {
    const std::size_t end = std::min(doc.bounds.find(separator, at), doc.bounds.size());
    values.push_back(doc.bounds.substr(at, end - at));
    at = end + separator.size();
  }
  return values;
}

// As in the file; items by the names that they have in the example.
std::string GroupPath(const OptionPlace& place) {
  std::string path;
  for (const OptionDoc& group : place.groups) {
    path += path.empty() ? group.name : "." + group.name;
    if (group.kind != OptionDoc::Kind::kGroups) continue;
    for (const OptionDoc& child : group.children) {
      if (child.key) path += "[" + child.example + "]";
    }
  }
  return path;
}

std::vector<std::string> ExpectedChanges(const OptionPlace& place, const std::string& value) {
  const std::string group = GroupPath(place);
  if (!place.doc.key) {
    return {"changed " + group + (group.empty() ? "" : ".") + place.doc.name +
            (place.doc.live ? ", live" : ", restart")};
  }
  const std::string list = group.substr(0, group.rfind('['));
  const std::string live = place.groups.back().live ? ", live" : ", restart";
  return {"removed " + group + live, "added " + list + "[" + value + "]" + live};
}

TEST(Difference, AChangeOfAnyOneOptionIsThatOption) {
  const std::vector<OptionDoc> docs = ConfigSchema(kPolicies).Docs();
  // Several examples, because profiles have either a directory or a Redis, and engines in
  // Kubernetes a selector or another origin.
  std::array examples = {ExampleOf(docs), ExampleOf(docs), ExampleOf(docs)};
  TestText& profiles = examples[1]["profiles"];
  profiles["source"].value = "redis";
  profiles.Remove("directory");
  examples[2]["models"]["kubernetes"].Remove("selector");
  for (const OptionPlace& place : PlacesOf(docs)) {
    if (!place.doc.children.empty()) continue;
    bool covered = false;
    for (const TestText& example : examples) {
      const auto before = Load(example.Write());
      ASSERT_TRUE(before) << before.error().message;
      for (const std::string& value : ValuesOf(place.doc)) {
        TestText changed = example;
        GroupOf(place, changed)[place.doc.name].value = value;
        const auto after = Load(changed.Write());
        if (covered || !after || *after == *before) continue;
        covered = true;
        EXPECT_EQ(Changes(*before, *after), ExpectedChanges(place, value));
        EXPECT_EQ(Changes(*after, *before).size(), Changes(*before, *after).size());
        EXPECT_THAT(Changes(*after, *after), IsEmpty());
      }
    }
    EXPECT_TRUE(covered) << GroupPath(place) << " " << place.doc.name << ": no other valid value";
  }
}

constexpr std::string_view kTwoModels = R"(
models:
  - name: m
    deployments:
      - { name: a10, endpoints: [a:1] }
      - { name: l20, endpoints: [b:1, b:2] }
  - name: n
    deployments: [{ name: a10, endpoints: [c:1] }]
)";

TEST(Difference, ItemsAreMatchedByTheirNames) {
  const auto before = Load(std::string(kTwoModels));
  ASSERT_TRUE(before) << before.error().message;
  Config after = *before;
  std::swap(after.models[0], after.models[1]);
  EXPECT_THAT(Changes(*before, after), IsEmpty()) << "the order means nothing";

  ModelConfig& m = after.models[1];
  m.deployments.erase(m.deployments.begin());
  m.deployments[0].endpoints.emplace_back("b:3");
  m.deployments.push_back({.name = "h100", .endpoints = {"d:1"}});
  after.models[0].queue.max_length = 3;
  EXPECT_THAT(Changes(*before, after),
              ElementsAre("removed models[m].deployments[a10], live",
                          "added models[m].deployments[l20].endpoints[b:3], "
                          "live",
                          "added models[m].deployments[h100], live",
                          "changed models[n].queue.max_length, live"));
  after.models[1].name = "other";
  after.listen = "a:1";
  EXPECT_THAT(Changes(*before, after),
              ElementsAre("changed listen.address, restart", "removed models[m], live",
                          "changed models[n].queue.max_length, live", "added models[other], live"));
}

// What a listener's open connections rely on.
TEST(Difference, WhetherAListenerSpeaksTlsNeedsARestartAndItsFilesDoNot) {
  const auto before = Load(std::string(kTwoModels));
  ASSERT_TRUE(before) << before.error().message;
  Config tls = *before;
  tls.listen.certificate = "a.pem";
  tls.listen.key = "a-key.pem";
  tls.listen.certificates = {{.certificate = "b.pem", .key = "b-key.pem"}};
  EXPECT_THAT(Changes(*before, tls),
              ElementsAre("changed listen.certificate, restart", "changed listen.key, restart",
                          "added listen.certificates[b.pem], restart"));
  Config other = tls;
  other.listen.certificate = "c.pem";
  other.listen.certificates[0].key = "d-key.pem";
  other.listen.certificates.push_back({.certificate = "e.pem", .key = "e-key.pem"});
  EXPECT_THAT(Changes(tls, other), ElementsAre("changed listen.certificate, live",
                                               "changed listen.certificates[b.pem].key, live",
                                               "added listen.certificates[e.pem], live"));
  Config asking = other;
  asking.listen.client_ca = "ca.pem";
  EXPECT_THAT(Changes(other, asking), ElementsAre("changed listen.client_ca, restart"));
  Config asking_others = asking;
  asking_others.listen.client_ca = "other-ca.pem";
  EXPECT_THAT(Changes(asking, asking_others), ElementsAre("changed listen.client_ca, live"));
}

TEST(Difference, AGroupThatIsLeftOutDiffersInItsOptions) {
  const auto before = Load(std::string(kTwoModels));
  ASSERT_TRUE(before) << before.error().message;
  Config after = *before;
  after.models[0].slo = slo::Slo{.ttft = 1, .e2e = 9};
  EXPECT_THAT(Changes(*before, after),
              ElementsAre("changed models[m].slo.ttft, live", "changed models[m].slo.e2e, live"));
}

}  // namespace
}  // namespace headrace::config
