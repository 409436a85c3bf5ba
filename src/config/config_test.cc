#include "config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "config/config_schema.h"
#include "config/test_options.h"

namespace headrace::config {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::array<std::string_view, 4> kPolicies = {"slo-headroom", "slo", "least-request",
                                                       "random"};

Result<Config> Load(std::string_view text) { return LoadConfig(text, "h.yaml", kPolicies); }

// The faults of a text, one per line.
std::vector<std::string> FaultsOf(std::string_view text) {
  const Result<Config> config = Load(text);
  std::vector<std::string> lines;
  if (config) return lines;
  std::istringstream stream(config.error().message);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The least that a configuration needs, for tests about something else; three lines.
constexpr std::string_view kModels = R"(models:
  - name: m
    deployments: [{ name: d, endpoints: [127.0.0.1:1] }]
)";

std::string WithModels(std::string_view text) { return std::string(kModels) + std::string(text); }

TEST(Config, NumbersHaveRanges) { ExpectNumbersHaveRanges(ConfigSchema(kPolicies)); }

TEST(Config, ReadsTheShapeThatTheReadmeShows) {
  const Result<Config> config = LoadConfig(R"(
listen: 127.0.0.1:8081
admin: "[::1]:9091"
profiles: { directory: profiles }
models:
  - name: llama2-7b
    policy: least-request
    slo: { tpat: 50ms }
    deployments:
      - { name: llama2-7b-a10, endpoints: [127.0.0.1:9001] }
      - { name: llama2-7b-l20, endpoints: [127.0.0.1:9002, 127.0.0.1:9003] }
)",
                                           "/etc/headrace/h.yaml", kPolicies);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->listen, "127.0.0.1:8081");
  EXPECT_EQ(config->admin, "[::1]:9091");
  EXPECT_EQ(config->profiles.directory, "/etc/headrace/profiles");
  ASSERT_EQ(config->models.size(), 1U);
  const ModelConfig& model = config->models[0];
  EXPECT_EQ(model.name, "llama2-7b");
  EXPECT_EQ(model.policy, "least-request");
  ASSERT_TRUE(model.slo);
  EXPECT_EQ(model.slo->tpat, 0.05);
  EXPECT_FALSE(model.slo->ttft);
  ASSERT_EQ(model.deployments.size(), 2U);
  EXPECT_EQ(model.deployments[1].profile, "llama2-7b-l20");
  EXPECT_THAT(model.deployments[1].endpoints, ElementsAre("127.0.0.1:9002", "127.0.0.1:9003"));
}

TEST(Config, LeftOutOptionsHaveTheirDefaults) {
  const Result<Config> config = Load(kModels);
  ASSERT_TRUE(config) << config.error().message;
  Config expected;
  expected.models = config->models;
  EXPECT_EQ(*config, expected);
  ModelConfig model;
  model.name = "m";
  model.deployments = config->models[0].deployments;
  EXPECT_EQ(config->models[0], model);
  EXPECT_EQ(config->models[0].deployments[0].max_in_flight, DeploymentConfig().max_in_flight);
}

TEST(Config, AnEmptyGroupIsTheSameAsNone) {
  const Result<Config> config = Load(WithModels("limits:\n  # body: 1MiB\nlog: {}\n"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->limits, LimitsConfig());
}

TEST(Config, ReadsEveryGroup) {
  const Result<Config> config = Load(R"(
threads: 4
log: { level: warning, format: json }
limits: { body: 1MiB, bodies: 8MiB, header: 8KiB, connections: 7 }
timeouts: { connect: 1s, request: 2m, first_byte: 3s, whole: 7s, idle: 4s, client_idle: 5s, client_stall: 6s, drain_delay: 2s, drain: 0 }
health: { path: /ping, interval: 9s, timeout: 8s, failures: 3 }
profiles: { directory: /var/p, max_age: 30d }
models:
  - name: m
    queue: { max_length: 5, max_bytes: 2MiB, timeout: 7s }
    length: { estimate: quantile, quantile: 95%, window: 1h, prior: 200 }
    deployments:
      - { name: d, profile: other/a10.json, max_in_flight: 9, endpoints: ["engine-1:80"] }
)");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->threads, 4);
  EXPECT_EQ(config->log, (LogConfig{LogConfig::Level::kWarning, LogConfig::Format::kJson}));
  EXPECT_EQ(config->limits, (LimitsConfig{1 << 20, 8 << 20, 8 << 10, 7}));
  EXPECT_EQ(config->timeouts, (TimeoutsConfig{1, 120, 3, 7, 4, 5, 6, 2, 0}));
  EXPECT_EQ(config->health, (HealthConfig{"/ping", 9, 8, 3}));
  EXPECT_EQ(config->profiles, (ProfilesConfig{.directory = "/var/p", .max_age = 30.0 * 86400}));
  EXPECT_EQ(config->models[0].queue, (QueueConfig{5, 2 << 20, 7}));
  EXPECT_EQ(config->models[0].length,
            (LengthConfig{LengthConfig::Estimate::kQuantile, 0.95, 3600, 200}));
  EXPECT_EQ(config->models[0].deployments[0].max_in_flight, 9);
}

TEST(Config, PathsAreRelativeToTheFilesFolder) {
  const std::string text = R"(
profiles: { directory: ../p }
models:
  - name: org/m
    deployments:
      - { name: org/d1, endpoints: [e:1] }
      - { name: d2, profile: a10, endpoints: [e:2] }
      - { name: d3, profile: ./a10.json, endpoints: [e:3] }
      - { name: d4, profile: /abs/a10.json, endpoints: [e:4] }
)";
  const Result<Config> config = LoadConfig(text, "conf/site/h.yaml", kPolicies);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->profiles.directory, "conf/p");
  const auto& deployments = config->models[0].deployments;
  EXPECT_EQ(deployments[0].profile, "org/d1");
  EXPECT_EQ(deployments[1].profile, "a10");
  EXPECT_EQ(deployments[2].profile, "conf/site/a10.json");
  EXPECT_EQ(deployments[3].profile, "/abs/a10.json");
}

TEST(Config, ReportsEveryFaultOfTheFileWithItsLine) {
  EXPECT_THAT(
      FaultsOf(R"(listen: 127.0.0.1
limts: { body: 1MiB }
limits: { body: 32MB, connections: 0 }
timeouts:
  connect: 5
  request: [1s]
log: { level: infos }
models:
  - name: a
    policy: least-requst
    slo: { ttft: 1 hour }
    deployments: []
  - nam: b
    deployments:
      - endpoints: [ftp://x:1, y]
)"),
      ElementsAre(
          HasSubstr(
              "h.yaml:1: listen.address is \"127.0.0.1\", which has no port; write host:port"),
          HasSubstr("h.yaml:2: the option \"limts\" is not known; did you mean limits?"),
          HasSubstr("h.yaml:3: limits.body is \"32MB\", which is not a size; write `32MiB`"),
          HasSubstr("h.yaml:3: limits.connections is \"0\", which is out of bounds; 1 to 1000000"),
          HasSubstr("h.yaml:5: timeouts.connect is \"5\", which has no unit; write 5ms, 5s or 5m"),
          HasSubstr("h.yaml:6: timeouts.request has to be a single value and is a list; write"),
          HasSubstr("h.yaml:7: log.level is \"infos\", which is not known; did you mean info?"),
          HasSubstr("h.yaml:10: models[0].policy is \"least-requst\", which is not known; did you "
                    "mean least-request?"),
          HasSubstr("h.yaml:11: models[0].slo.ttft is \"1 hour\", which is not a duration"),
          HasSubstr("h.yaml:12: models[0].deployments is empty; write at least one item, like"),
          HasSubstr("h.yaml:13: the option \"models[1].nam\" is not known; did you mean name?"),
          HasSubstr(
              "h.yaml:15: models[1].deployments[0].endpoints[0].url is \"ftp://x:1\", which has a "
              "scheme that is not known here; write http:// or https://"),
          HasSubstr(
              "h.yaml:15: models[1].deployments[0].endpoints[1].url is \"y\", which has no port"),
          HasSubstr("h.yaml:15: models[1].deployments[0] has no \"name\"; add it")));
}

TEST(Config, NamesWhatIsPossibleWhenNothingIsNear) {
  EXPECT_THAT(
      FaultsOf(WithModels("log: { colour: red }\n")),
      ElementsAre("h.yaml:4: the option \"log.colour\" is not known; choose one of level, format, "
                  "access or access_file"));
}

TEST(Config, RefusesWhatIsGivenTwice) {
  EXPECT_THAT(
      FaultsOf(WithModels("threads: 1\nthreads: 2\n")),
      ElementsAre("h.yaml:5: threads is given twice, first on line 4; remove one of the two"));
  EXPECT_THAT(
      FaultsOf(R"(models:
  - name: m
    deployments:
      - { name: d, endpoints: [e:1] }
      - { name: d, endpoints: [e:2, e:2] }
  - name: m
    deployments:
      - { name: d, endpoints: [e:1] }
)"),
      ElementsAre(
          HasSubstr("h.yaml:5: models[0].deployments[1].name \"d\" is already used "
                    "on line 4"),
          HasSubstr("h.yaml:5: models[0].deployments[1].endpoints[1].url \"e:2\" is already used "
                    "on line 5"),
          HasSubstr("h.yaml:6: models[1].name \"m\" is already used on line 2"),
          HasSubstr("h.yaml:8: models[1].deployments[0].endpoints[0].url \"e:1\" is already used "
                    "on line 4")));
}

TEST(Config, NamesAndAliasesAreUniqueOverAllModels) {
  const auto config = LoadConfig(R"(models:
  - { name: m, aliases: [m-legal, m-chat], deployments: [{ name: a10, endpoints: [e:1] }] }
)",
                                 "h.yaml", kPolicies);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(config->models[0].aliases, ElementsAre("m-legal", "m-chat"));
  EXPECT_THAT(FaultsOf(R"(models:
  - name: m
    aliases: [x, m, x]
    deployments: [{ name: a10, endpoints: [e:1] }]
  - name: n
    aliases: [m]
    deployments: [{ name: a10, endpoints: [e:2] }]
  - name: x
    deployments: [{ name: a10, endpoints: [e:3] }]
)"),
              ElementsAre(HasSubstr("h.yaml:3: models[0].aliases \"m\" is already used on line 2; "
                                    "remove one of them or write another"),
                          HasSubstr("h.yaml:3: models[0].aliases \"x\" is already used on line 3"),
                          HasSubstr("h.yaml:6: models[1].aliases \"m\" is already used on line 2"),
                          HasSubstr("h.yaml:8: models[2].name \"x\" is already used on line 3")));
}

TEST(Config, ObjectivesHavePrioritiesAndTenantsWeights) {
  const auto config = LoadConfig(R"(models:
  - name: m
    objectives: [{ name: chat, priority: 10 }, { name: batch, priority: -1 }, { name: other }]
    tenants: [{ name: team-a, weight: 2.5 }, { name: team-b }]
    deployments: [{ name: a10, endpoints: [e:1] }]
)",
                                 "h.yaml", kPolicies);
  ASSERT_TRUE(config) << config.error().message;
  const ModelConfig& model = config->models[0];
  ASSERT_EQ(model.objectives.size(), 3);
  EXPECT_EQ(model.objectives[1], (ObjectiveConfig{"batch", -1}));
  EXPECT_EQ(model.objectives[2].priority, 0);
  EXPECT_EQ(model.tenants[0], (TenantConfig{"team-a", 2.5}));
  EXPECT_EQ(model.tenants[1].weight, 1);
  EXPECT_THAT(FaultsOf(R"(models:
  - name: m
    objectives: [{ name: batch, priority: -1 }, { name: batch, priority: low }]
    tenants: [{ name: team-a, weight: 0 }, { weight: 1 }]
    deployments: [{ name: a10, endpoints: [e:1] }]
)"),
              ElementsAre(HasSubstr("objectives[1].name \"batch\" is already used on line 3"),
                          HasSubstr("objectives[1].priority is \"low\", which is not a whole"),
                          HasSubstr("tenants[0].weight is \"0\", which is out of bounds; 0.001 to"),
                          HasSubstr("tenants[1] has no \"name\"")));
}

TEST(Config, TwoModelsMayNameTheirDeploymentsAlike) {
  EXPECT_THAT(FaultsOf(R"(models:
  - { name: m, deployments: [{ name: a10, endpoints: [e:1] }] }
  - { name: n, deployments: [{ name: a10, endpoints: [e:2] }] }
)"),
              IsEmpty());
}

TEST(Config, RefusesValuesOfTheWrongKind) {
  EXPECT_THAT(FaultsOf("- a\n"), ElementsAre(HasSubstr("h.yaml:1: the configuration has to be a "
                                                       "group of options and is a list")));
  EXPECT_THAT(
      FaultsOf("models: { name: m }\n"),
      ElementsAre(HasSubstr("h.yaml:1: models has to be a list and is a group of options")));
  EXPECT_THAT(FaultsOf("models: [m]\n"),
              ElementsAre(HasSubstr("h.yaml:1: models[0] has to be a group of options and is a "
                                    "single value")));
  EXPECT_THAT(FaultsOf(WithModels("threads:\n")),
              ElementsAre(HasSubstr("h.yaml:4: threads has to be a single value and is nothing; "
                                    "write one like `threads: 0`")));
  EXPECT_THAT(FaultsOf(WithModels("[a]: 1\n")), ElementsAre(HasSubstr("h.yaml:4: the option")));
}

TEST(Config, AnEmptyTextLacksItsModels) {
  for (const char* text : {"", "\n# nothing\n", "---\n"}) {
    EXPECT_THAT(FaultsOf(text), ElementsAre(HasSubstr("the configuration has no \"models\"")));
  }
}

TEST(Config, OptionsHaveToAgree) {
  EXPECT_THAT(FaultsOf(WithModels("health: { interval: 1s,\n  timeout: 2s }\n")),
              ElementsAre("h.yaml:5: health.timeout (2s) is longer than interval (1s); shorten it "
                          "or lengthen the interval"));
  EXPECT_THAT(FaultsOf(WithModels("listen: 127.0.0.1:2\nadmin: 127.0.0.1:2\n")),
              ElementsAre(HasSubstr("h.yaml:5: admin is the same address as listen")));
  EXPECT_THAT(FaultsOf(WithModels("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n")), IsEmpty());
  EXPECT_THAT(FaultsOf(WithModels("limits: { bodies: 1MiB }\n")),
              ElementsAre(HasSubstr("h.yaml:4: limits.bodies (1MiB) is less than limits.body")));
  EXPECT_THAT(FaultsOf(R"(models:
  - name: m
    slo: {}
    deployments: [{ name: d, endpoints: [e:1] }]
)"),
              ElementsAre(HasSubstr("h.yaml:3: models[0].slo has no target; set at least one")));
  EXPECT_THAT(FaultsOf(R"(models:
  - name: m
    queue: { max_bytes: 1MiB }
    deployments: [{ name: d, endpoints: [e:1] }]
)"),
              ElementsAre(HasSubstr("h.yaml:3: models[0].queue.max_bytes (1MiB) is less than "
                                    "limits.body (32MiB)")));
}

TEST(Config, ReadsWhereRedisIsAndWhatItIsFor) {
  const auto config =
      Load(WithModels("redis: redis://me:se%20cret@redis-1:6380/2\nprofiles: { source: redis "
                      "}\nrequest_trace: true"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->redis->password, "se cret");
  EXPECT_EQ(config->redis->Name(), "redis://redis-1:6380/2");
  EXPECT_EQ(config->profiles.source, ProfilesConfig::Source::kRedis);
  EXPECT_TRUE(config->request_trace);
  for (const char* url :
       {"rediss://:secret@r:6380/1?ca_file=/ca.pem", "unix:///run/redis.sock?password_file=/p"}) {
    EXPECT_TRUE(Load(WithModels("redis: " + std::string(url) + "\nrequest_trace: true"))) << url;
  }
}

TEST(Config, RedisIsGivenWhereItIsUsedAndUsedWhereItIsGiven) {
  EXPECT_THAT(FaultsOf(WithModels("redis: redis://r")),
              ElementsAre(HasSubstr("h.yaml:4: redis is given but not used")));
  EXPECT_THAT(FaultsOf(WithModels("profiles: { source: redis }\nrequest_trace: true")),
              ElementsAre(HasSubstr("h.yaml:4: profiles.source needs Redis; add `redis: "),
                          HasSubstr("h.yaml:5: request_trace needs Redis")));
  EXPECT_THAT(
      FaultsOf(WithModels("redis: redis://r\nprofiles: { source: redis, directory: profiles }")),
      ElementsAre(HasSubstr("profiles.directory is not used with source: redis")));
  EXPECT_THAT(FaultsOf(WithModels("redis: redis://r?model=m\nrequest_trace: true")),
              ElementsAre(HasSubstr("remove ?model=…")));
  EXPECT_THAT(FaultsOf(WithModels("request_trace: maybe")),
              ElementsAre(HasSubstr("choose one of true or false")));
}

TEST(Config, FaultsDoNotRepeatAPassword) {
  const auto faults = FaultsOf(WithModels("redis: redis://:secret@host:port\nrequest_trace: true"));
  EXPECT_THAT(faults, ElementsAre(HasSubstr("redis is no Redis URL: the port is not a number")));
  EXPECT_THAT(faults[0], Not(HasSubstr("secret")));
}

TEST(Config, APercentileOfAModelsSloIsRefusedWithTheReason) {
  EXPECT_THAT(FaultsOf(R"(models:
  - name: m
    slo: { e2e: 5s, percentile: 99 }
    deployments: [{ name: d, endpoints: [e:1] }]
)"),
              ElementsAre("h.yaml:3: models[0].slo.percentile has no effect on routing; remove it: "
                          "the percentile belongs to the profile (`headrace profile generate "
                          "--percentile`)"));
}

TEST(Config, WhatAnErrorSuggestsForAMissingOptionIsAccepted) {
  ExpectSuggestionsCanBePasted(ConfigSchema(kPolicies));
  EXPECT_THAT(FaultsOf("models:\n  - name: m\n"),
              ElementsAre(HasSubstr("add it, like `deployments: [{ name: llama2-7b-a10, endpoints: "
                                    "[127.0.0.1:9001] }]`")));
}

TEST(Config, ChecksAddresses) {
  for (const char* good : {"1.2.3.4:80", "engine-3.gpu_pool.svc:8000", "\"[::1]:8000\""}) {
    EXPECT_THAT(FaultsOf("models: [{ name: m, deployments: [{ name: d, endpoints: [" +
                         std::string(good) + "] }] }]"),
                IsEmpty());
  }
  for (const char* bad : {"\":80\"", "a", "\"a:\"", "a:0", "a:65536", "a:-1", "\"::1:80\"",
                          "a b:80", "\"[x]:80\"", "\"\""}) {
    EXPECT_THAT(FaultsOf("models: [{ name: m, deployments: [{ name: d, endpoints: [" +
                         std::string(bad) + "] }] }]"),
                ElementsAre(HasSubstr("write it like engine-3:8000")))
        << bad;
  }
  EXPECT_THAT(FaultsOf(WithModels("listen: \":8080\"\nadmin: \"[::1]:0\"\n")), IsEmpty());
}

TEST(Config, AListenerIsAnAddressOrAGroupWithTls) {
  const auto config = LoadConfig(WithModels(R"(listen:
  address: ":8443"
  certificate: tls/gateway.pem
  key: tls/gateway-key.pem
  certificates: [{ certificate: tls/lake.pem, key: /etc/lake-key.pem }]
  client_ca: /etc/clients.pem
admin: { token_file: admin.token, open: metrics }
)"),
                                 "conf/h.yaml", kPolicies);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->listen.address, ":8443");
  EXPECT_EQ(config->listen.certificate, "conf/tls/gateway.pem");
  EXPECT_EQ(config->listen.key, "conf/tls/gateway-key.pem");
  EXPECT_EQ(config->listen.certificates,
            (std::vector<CertificateConfig>{{"conf/tls/lake.pem", "/etc/lake-key.pem"}}));
  EXPECT_EQ(config->listen.client_ca, "/etc/clients.pem");
  EXPECT_EQ(config->admin.address, "127.0.0.1:9090") << "what a group does not say is the default";
  EXPECT_EQ(config->admin.token_file, "conf/admin.token");
  EXPECT_EQ(config->admin.open, AdminConfig::Open::kMetrics);

  const auto faults = [](const std::string& text) { return FaultsOf(WithModels(text)); };
  EXPECT_THAT(
      faults("listen: { certificate: a.pem }\n"),
      ElementsAre(HasSubstr("has a certificate without its key; add `key: gateway-key.pem`")));
  EXPECT_THAT(faults("admin: { client_ca: a.pem }\n"),
              ElementsAre(HasSubstr("clients can show certificates over TLS alone")));
  EXPECT_THAT(faults("listen: { certificates: [{ certificate: a.pem, key: b.pem }] }\n"),
              ElementsAre(HasSubstr("are for further names; add the one for all others")));
  EXPECT_THAT(
      faults("listen: { certificate: a.pem, key: b.pem, certificates: [{ key: c.pem }] }\n"),
      ElementsAre(HasSubstr("listen.certificates[0] has no \"certificate\"")));
}

TEST(Config, TheCollectorMayHaveTlsOfItsOwn) {
  const auto config =
      LoadConfig(WithModels("tracing: { endpoint: https://collector, tls: { ca: ca.pem } }\n"),
                 "conf/h.yaml", kPolicies);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->tracing.tls.ca, "conf/ca.pem");
  EXPECT_THAT(FaultsOf(WithModels("tracing: { endpoint: http://collector, tls: { ca: a } }\n")),
              ElementsAre(HasSubstr("does not begin with https://; write `endpoint: https://")));
}

TEST(Config, AnAdminAddressThatOthersReachAsksWhoTheyAre) {
  const auto faults = [](const std::string& text) { return FaultsOf(WithModels(text)); };
  for (const char* exposed :
       {"admin: \":9090\"", "admin: 0.0.0.0:9090", "admin: \"[::]:9090\"", "admin: 10.0.0.7:9090",
        "admin: gateway.example:9090", "admin: { address: \":9090\", open: probes }"}) {
    EXPECT_THAT(faults(std::string(exposed) + "\n"),
                ElementsAre(HasSubstr("is reached from other machines, and asks nobody")))
        << exposed;
  }
  for (const char* fine :
       {"admin: 127.0.0.1:9090", "admin: localhost:9090", "admin: \"[::1]:9090\"",
        "admin: { address: \":9090\", token_file: t }", "admin: { address: \":9090\", open: all }",
        "admin: { address: \":9090\", certificate: c, key: k, client_ca: ca }"}) {
    EXPECT_THAT(faults(std::string(fine) + "\n"), IsEmpty()) << fine;
  }
}

TEST(Config, YamlFaultsHaveALineToo) {
  EXPECT_THAT(FaultsOf("listen: a:1\nlimits: { body: 1MiB\nthreads: 3\n"),
              ElementsAre(HasSubstr("this is not valid YAML")));
  EXPECT_THAT(FaultsOf("listen: a:1\n\tthreads: 3\n"),
              ElementsAre(HasSubstr("h.yaml:2: this line is indented with a tab")));
  EXPECT_THAT(FaultsOf(WithModels("---\nthreads: 1\n")),
              ElementsAre(HasSubstr("h.yaml:4: a second YAML document begins here")));
  for (const char* text : {",", " ,x", "\n# c\n, a: b", "---\n,b", "! ,b", "&a ,b", "- a\n, b"}) {
    EXPECT_THAT(FaultsOf(text), Not(IsEmpty())) << text;
  }
  EXPECT_THAT(FaultsOf("models: *nowhere\n"),
              ElementsAre(HasSubstr("h.yaml:1: nothing before this is called `&nowhere`")));
}

TEST(Config, ValuesMayComeFromTheEnvironment) {
  const auto environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "PORT") return "8081";
    if (name == "BODY") return "top-secret";
    if (name == "LIST") return "[a:1, b:2]";
    return std::nullopt;
  };
  const auto config = LoadConfig(WithModels("listen: 0.0.0.0:${PORT}\nthreads: ${THREADS:-3}\n"),
                                 "h.yaml", kPolicies, environment);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->listen, "0.0.0.0:8081");
  EXPECT_EQ(config->threads, 3);
  const auto fault = LoadConfig(
      "limits: { body: \"${BODY}\" }\nlisten: ${HOST}:1\n${PORT}: 1\nmodels:\n"
      "  - { name: m, deployments: [{ name: d, endpoints: \"${LIST}\" }] }\n",
      "h.yaml", kPolicies, environment);
  ASSERT_FALSE(fault);
  EXPECT_THAT(
      fault.error().message,
      AllOf(HasSubstr("h.yaml:1: limits.body is \"${BODY}\", which is not a size"),
            HasSubstr("h.yaml:2: listen.address names the environment variable HOST, which is not "
                      "set; set it, or write `${HOST:-default}`"),
            HasSubstr("h.yaml:3: the option \"${PORT}\" is not known"),
            HasSubstr("h.yaml:5: models[0].deployments[0].endpoints has to be a list"),
            Not(HasSubstr("top-secret"))));
}

TEST(Config, OfVeryManyFaultsTheFirstAreShown) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "x" + std::to_string(i) + ": 1\n";
  const auto faults = FaultsOf(text);
  ASSERT_EQ(faults.size(), 101U);
  EXPECT_EQ(faults.back(), "h.yaml: 901 more faults follow; mend these first");
}

TEST(Config, AnyTextIsReadOrRefusedWithLines) {
  // Damages the reference's example in one to four places.
  const std::string reference = ConfigReferenceMarkdown();
  const std::size_t begin = reference.find("```yaml\n", reference.find("## Every option")) + 8;
  const std::string example = reference.substr(begin, reference.find("```", begin) - begin);
  ASSERT_TRUE(Load(example)) << Load(example).error().message;
  Rng rng(3);
  constexpr std::string_view kBytes = "{}[]:,-#'\"&*!|>%@`\n\t 0a\xff\x01";
  for (int i = 0; i < 600; ++i) {
    std::string text = example;
    for (std::uint64_t n = rng.Below(4) + 1; n > 0; --n) {
      const std::size_t at = rng.Below(text.size());
      if (rng.Below(2) == 0) {
        text[at] = kBytes[rng.Below(kBytes.size())];
      } else {
        text.erase(at, rng.Below(60));
      }
    }
    for (const std::string& fault : FaultsOf(text)) {
      ASSERT_THAT(fault, HasSubstr("h.yaml:")) << text;
    }
  }
}

TEST(ConfigReference, TheCommittedFileIsCurrent) {
  const std::string path = "docs/configuration.md";
  if (std::getenv("HEADRACE_UPDATE_DOCS") != nullptr)
    std::ofstream(path) << ConfigReferenceMarkdown();
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), ConfigReferenceMarkdown())
      << path << " is stale: `make docs` writes it again";
}

TEST(ConfigReference, ItsExamplesAreValid) {
  const std::string reference = ConfigReferenceMarkdown();
  int examples = 0;
  for (std::size_t at = 0; (at = reference.find("```yaml\n", at)) != std::string::npos;
       ++examples) {
    at += 8;
    const std::string example = reference.substr(at, reference.find("```", at) - at);
    EXPECT_THAT(FaultsOf(example), IsEmpty()) << example;
  }
  EXPECT_EQ(examples, 2);
}

// --- Endpoints

TEST(Endpoints, AreUrlsOrGroups) {
  const auto config = LoadConfig(R"(models:
  - name: m
    deployments:
      - name: d
        api_key: deployment-key
        tls: { ca: certificates/ca.pem }
        endpoints:
          - 10.0.0.7:8000
          - https://Engine.example:443/llm/v1
          - { url: http://engine-3, weight: 2, max_in_flight: 8, resolve: all }
          - url: https://engine-4
            api_key_file: /run/key
            health_path: none
            headers: ["X-Team: search"]
            tls: { verify: false, server_name: engine }
)",
                                 "conf/h.yaml", kPolicies);
  ASSERT_TRUE(config) << config.error().message;
  const DeploymentConfig& d = config->models[0].deployments[0];
  EXPECT_EQ(d.api_key, "deployment-key");
  EXPECT_EQ(d.tls->ca, "conf/certificates/ca.pem");
  ASSERT_EQ(d.endpoints.size(), 4U);
  EXPECT_EQ(d.endpoints[0], EndpointConfig("10.0.0.7:8000"));
  EXPECT_EQ(d.endpoints[1], EndpointConfig("https://engine.example/llm"));
  EXPECT_EQ(d.endpoints[2].url, "engine-3:80");
  EXPECT_EQ(d.endpoints[2].weight, 2);
  EXPECT_EQ(d.endpoints[2].max_in_flight, 8);
  EXPECT_EQ(d.endpoints[2].resolve, AccessConfig::Resolve::kAll);
  EXPECT_EQ(d.endpoints[3].api_key_file, "/run/key");
  EXPECT_EQ(d.endpoints[3].health_path, "none");
  EXPECT_THAT(d.endpoints[3].headers, ElementsAre("X-Team: search"));
  EXPECT_FALSE(d.endpoints[3].tls->verify);
  EXPECT_EQ(d.endpoints[3].tls->server_name, "engine");
}

TEST(Endpoints, WhatIsWrongIsSaidWithoutTheKey) {
  const auto faults = FaultsOf(R"(models:
  - name: m
    deployments:
      - name: d
        api_key: "secret key"
        endpoints:
          - https://me:secret@engine
          - { url: engine:80, tls: { ca: a.pem } }
          - http://engine:80/
          - { url: https://engine, tls: { certificate: a.pem } }
          - { weight: 2 }
          - { url: engine-2:80, headers: ["Authorization secret"], health_path: health }
)");
  ASSERT_EQ(faults.size(), 8U) << testing::PrintToString(faults);
  EXPECT_THAT(faults[0], HasSubstr("h.yaml:5: models[0].deployments[0].api_key contains a space"));
  EXPECT_THAT(faults[1], HasSubstr("has a user or a password in it"));
  EXPECT_THAT(faults[2], HasSubstr("endpoints[1].tls is given, but the URL does not begin with"));
  EXPECT_THAT(faults[3], HasSubstr("endpoints[2].url \"http://engine:80/\" is already used on"));
  EXPECT_THAT(faults[4], HasSubstr("a certificate without its key; add `key: gateway-key.pem`"));
  EXPECT_THAT(faults[5], HasSubstr("endpoints[4] has no \"url\"; add it, like `url: https://"));
  EXPECT_THAT(faults[6], HasSubstr("endpoints[5].headers is not a header; write it like"));
  EXPECT_THAT(faults[7], HasSubstr("health_path is \"health\", which is not the path of a URL"));
  for (const std::string& fault : faults) EXPECT_THAT(fault, Not(HasSubstr("secret")));
}

TEST(Endpoints, AHeaderThatFramesTheRequestIsNotForTheFile) {
  for (const std::string header : {"Content-Length: 0", "transfer-encoding: chunked", "Host: e"}) {
    const auto faults = FaultsOf(
        "models:\n  - name: m\n    deployments:\n      - name: d\n"
        "        headers: [\"" +
        header +
        "\"]\n"
        "        endpoints: [engine:80]\n");
    ASSERT_EQ(faults.size(), 1U) << testing::PrintToString(faults);
    EXPECT_THAT(faults[0], HasSubstr("is a header that the gateway writes itself"));
  }
}

// Programs that write files as YAML 1.1 would make a boolean of it.
TEST(Config, NoChoiceIsABooleanToOtherPrograms) {
  for (const OptionPlace& place : PlacesOf(ConfigSchema(kPolicies).Docs())) {
    if (place.doc.schema.kind != ValueSchema::Kind::kChoice) continue;
    for (const std::string& choice : place.doc.schema.choices) {
      EXPECT_THAT(choice, testing::AllOf(testing::Ne("on"), testing::Ne("off"), testing::Ne("yes"),
                                         testing::Ne("no"), testing::Ne("y"), testing::Ne("n")))
          << place.doc.name;
    }
  }
}

TEST(Config, ModelsThatKubernetesHas) {
  const auto config = Load(R"(
profiles: { source: configmap }
models:
  - name: llama
    kubernetes: { from: inferencepool/llama-pool }
    deployments: [{ name: a10, max_in_flight: 64 }, { name: "*", profile: "{gpu}" }]
  - name: m
    kubernetes: { from: pods }
    deployments: [{ name: outside, endpoints: [127.0.0.1:1] }]
  - name: "*"
    kubernetes: { namespaces: ["*"], selector: tier!=canary, ports: [http, 8001] }
)");
  ASSERT_TRUE(config) << config.error().message;
  using Kind = KubernetesSourceConfig::Kind;
  EXPECT_EQ(config->models[0].kubernetes->from.kind, Kind::kInferencePool);
  EXPECT_EQ(config->models[0].kubernetes->from.name, "llama-pool");
  EXPECT_EQ(config->models[2].kubernetes->from.kind, Kind::kPods);
  EXPECT_EQ(config->models[2].kubernetes->label, "model.aibrix.ai/name");
  EXPECT_THAT(config->models[2].kubernetes->ports, ElementsAre("http", "8001"));
  EXPECT_EQ(config->profiles.configmap, "headrace-profiles");
  EXPECT_EQ(ProfileFileOf(*config, config->models[0].deployments[0]), std::nullopt);
}

TEST(Config, WhatKubernetesCannotMean) {
  const auto fault = [](const std::string& model) {
    const std::vector<std::string> faults = FaultsOf("models:\n  - " + model);
    return faults.empty() ? "" : faults.front();
  };
  EXPECT_THAT(fault("{ name: '*' }"),
              HasSubstr("h.yaml:2: models[0].name is *, which stands for models that Kubernetes"));
  EXPECT_THAT(fault("{ name: m }"), HasSubstr("models[0] has no \"deployments\""));
  EXPECT_THAT(fault("{ name: m, deployments: [{ name: d }] }"),
              HasSubstr("models[0].deployments[0] has no \"endpoints\""));
  EXPECT_THAT(fault("{ name: '*', aliases: [a], kubernetes: { from: pods } }"),
              HasSubstr("models[0].aliases belongs to one model"));
  EXPECT_THAT(fault("{ name: '*', kubernetes: { from: service/s } }"),
              HasSubstr("lists the engines of one model"));
  EXPECT_THAT(fault("{ name: m, kubernetes: { namespaces: [a, b] } }"),
              HasSubstr("are several, and a model that has a name is in one"));
  EXPECT_THAT(fault("{ name: '*', kubernetes: { namespaces: [a, '*'] } }"),
              HasSubstr("remove the others"));
  EXPECT_THAT(fault("{ name: m, kubernetes: { from: deployment/d } }"),
              HasSubstr("write pods, service/NAME or inferencepool/NAME"));
  EXPECT_THAT(fault("{ name: m, kubernetes: { from: service/s, selector: a=b } }"),
              HasSubstr("selector is given, and `from` does not name pods"));
  EXPECT_THAT(fault("{ name: m, kubernetes: { from: inferencepool/p, ports: [1] } }"),
              HasSubstr("says its ports itself"));
  EXPECT_THAT(fault("{ name: meta-llama/Llama-2, kubernetes: { from: pods } }"),
              HasSubstr("can be no label's value"));
  EXPECT_THAT(FaultsOf(WithModels("kubernetes: { context: c }\n")),
              ElementsAre(HasSubstr("kubernetes.context is given without a kubeconfig")));
}

}  // namespace
}  // namespace headrace::config
