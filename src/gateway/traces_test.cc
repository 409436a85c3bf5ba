// What a collector is told of requests, and what engines are.
#include <gmock/gmock.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "access/api_key.h"
#include "config/key_file.h"
#include "gateway/test_gateway.h"
#include "gateway/test_recording_engine.h"
#include "gateway/trace_exporter.h"
#include "net/test_certificates.h"
#include "net/tls_server.h"

namespace headrace::gateway {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr char kTraceId[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

// A collector that keeps what it was sent, and answers as it is told.
class FakeCollector {
 public:
  struct Answer {
    int status = 200;
    std::string body = "{}";
    std::string retry_after = {};
  };

  explicit FakeCollector(std::shared_ptr<const net::TlsContext> tls = nullptr)
      : scheme_(tls == nullptr ? "http" : "https") {
    net::HttpServerOptions options;
    if (tls != nullptr) options.stream_factory = net::TlsServerStreams(std::move(tls));
    server_ =
        *net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), options,
                                 [this](net::HttpExchange& exchange) { return Serve(exchange); });
  }
  std::string url() const { return scheme_ + "://" + server_->address().ToString(); }
  // The next ones; then it takes everything.
  void Answer(std::vector<Answer> answers) {
    const system::MutexLock lock(mutex_);
    answers_ = std::move(answers);
  }
  std::vector<std::string> Bodies() const {
    const system::MutexLock lock(mutex_);
    return bodies_;
  }
  std::string Head() const {
    const system::MutexLock lock(mutex_);
    return head_;
  }
  // All spans so far, each with its attributes as an object "attributes".
  std::vector<json> Spans() const {
    std::vector<json> spans;
    for (const std::string& body : Bodies()) {
      const json batch = json::parse(body);
      for (json span : batch["resourceSpans"][0]["scopeSpans"][0]["spans"]) {
        json attributes;
        for (const json& attribute : span["attributes"]) {
          attributes[attribute["key"].get<std::string>()] = attribute["value"].begin().value();
        }
        span["attributes"] = attributes;
        spans.push_back(span);
      }
    }
    return spans;
  }

 private:
  net::Task<void> Serve(net::HttpExchange& exchange) {
    struct Answer answer;
    {
      const system::MutexLock lock(mutex_);
      bodies_.push_back(exchange.body());
      head_ = std::string(exchange.method()) + " " + std::string(exchange.target()) + "\n";
      for (const net::HeaderField& field : exchange.headers()) {
        head_.append(field.name).append(": ").append(field.value).append("\n");
      }
      if (!answers_.empty()) {
        answer = answers_.front();
        answers_.erase(answers_.begin());
      }
    }
    net::ResponseHead head(answer.status);
    head.Add("content-type", "application/json");
    if (!answer.retry_after.empty()) head.Add("retry-after", answer.retry_after);
    co_await exchange.Respond(head, answer.body);
  }

  const std::string scheme_;
  mutable system::Mutex mutex_;
  std::vector<struct Answer> answers_ HEADRACE_GUARDED_BY(mutex_);
  std::vector<std::string> bodies_ HEADRACE_GUARDED_BY(mutex_);
  std::string head_ HEADRACE_GUARDED_BY(mutex_);
  net::IoThreads threads_{1};
  std::unique_ptr<net::HttpServer> server_;
};

std::string Field(const std::string& fields, const std::string& name) {
  const std::size_t at = ("\n" + fields).find("\n" + name + ": ");
  if (at == std::string::npos) return "";
  return fields.substr(at + name.size() + 2, fields.find('\n', at) - at - name.size() - 2);
}

std::int64_t Nanoseconds(const json& text) { return std::stoll(text.get<std::string>()); }

// Its request's span, its wait and its try.
TEST(Traces, RequestIsOneTraceFromTheClientToTheEngine) {
  FakeCollector collector;
  RecordingEngine engine;
  engine.Answer(R"({"choices":[{"message":{"content":"Deep."},"finish_reason":"stop"}],)"
                R"("usage":{"prompt_tokens":12,"completion_tokens":3}})");
  TestGateway t;
  t.config.tracing = {.endpoint = collector.url() + "/base",
                      .sample = 0,
                      .headers = {"x-key: secret"},
                      .service_name = "lake"};
  t.config.models[0].policy = "slo-headroom";
  t.AddEndpoint("a10", engine.address());
  t.Start();
  const HttpResponse response =
      t.Chat(ChatBody(5, false), {"traceparent: " + std::string(kParent), "tracestate: a=1",
                                  "tracestate: b=2", "x-request-id: mine"});
  ASSERT_EQ(response.status, 200);
  ASSERT_TRUE(Eventually([&] { return collector.Spans().size() == 3; }));
  EXPECT_THAT(collector.Head(),
              AllOf(HasSubstr("POST /base/v1/traces\n"), HasSubstr("x-key: secret\n"),
                    HasSubstr("content-type: application/json\n")));
  EXPECT_THAT(collector.Bodies()[0], HasSubstr(R"("stringValue":"lake")"));

  const std::vector<json> spans = collector.Spans();
  const json& own = spans[0];
  const json& wait = spans[1];
  const json& attempt = spans[2];
  for (const json& span : spans) EXPECT_EQ(span["traceId"], kTraceId);
  EXPECT_EQ(own["name"], "POST /v1/chat/completions");
  EXPECT_EQ(own["parentSpanId"], "00f067aa0ba902b7");
  EXPECT_EQ(own["traceState"], "a=1,b=2");
  EXPECT_EQ(own["kind"], 2);
  EXPECT_EQ(own["attributes"]["http.response.status_code"], "200");
  EXPECT_EQ(own["attributes"]["url.scheme"], "http");
  EXPECT_EQ(own["attributes"]["client.address"], "127.0.0.1");
  EXPECT_EQ(own["attributes"]["gen_ai.operation.name"], "chat");
  EXPECT_EQ(own["attributes"]["gen_ai.request.model"], "llama2-7b");
  EXPECT_EQ(own["attributes"]["gen_ai.usage.input_tokens"], "12");
  EXPECT_EQ(own["attributes"]["gen_ai.usage.output_tokens"], "3");
  EXPECT_EQ(own["attributes"]["headrace.request_id"], "mine");
  EXPECT_EQ(own["attributes"]["headrace.policy"], "slo-headroom");
  EXPECT_EQ(own["attributes"]["headrace.deployment"], "a10");
  EXPECT_EQ(own["attributes"]["headrace.endpoint"], engine.address());
  EXPECT_EQ(own["attributes"]["headrace.outcome"], "completed");
  EXPECT_GT(own["attributes"]["headrace.predicted.ttft_seconds"].get<double>(), 0);
  EXPECT_GT(own["attributes"]["headrace.predicted.e2e_seconds"].get<double>(), 0);
  EXPECT_THAT(own["attributes"]["headrace.reason"].get<std::string>(), Not(IsEmpty()));
  EXPECT_TRUE(own["status"].empty());
  EXPECT_EQ(wait["name"], "queue");
  EXPECT_EQ(wait["parentSpanId"], own["spanId"]);
  EXPECT_EQ(attempt["name"], "chat llama2-7b");
  EXPECT_EQ(attempt["kind"], 3);
  EXPECT_EQ(attempt["parentSpanId"], own["spanId"]);
  EXPECT_EQ(attempt["attributes"]["server.address"], "127.0.0.1");
  EXPECT_EQ(attempt["events"][0]["name"], "first token");
  const auto at = [](const json& span, const char* key) { return Nanoseconds(span[key]); };
  EXPECT_LE(at(own, "startTimeUnixNano"), at(wait, "startTimeUnixNano"));
  EXPECT_LE(at(wait, "endTimeUnixNano"), at(attempt, "startTimeUnixNano"));
  EXPECT_LE(at(attempt, "endTimeUnixNano"), at(own, "endTimeUnixNano"));
  EXPECT_LE(at(attempt, "startTimeUnixNano"), at(attempt["events"][0], "timeUnixNano"));
  EXPECT_GT(at(own, "startTimeUnixNano"), 1'600'000'000'000'000'000);

  // The engine is told of the try.
  const std::string fields = engine.Posts()[0].fields;
  EXPECT_EQ(Field(fields, "traceparent"),
            std::string("00-") + kTraceId + "-" + attempt["spanId"].get<std::string>() + "-01");
  EXPECT_EQ(Field(fields, "tracestate"), "a=1,b=2");
}

TEST(Traces, BrokenContextBeginsAnotherTraceAndUnsampledOneIsPassedOn) {
  FakeCollector collector;
  RecordingEngine engine;
  TestGateway t;
  t.config.tracing = {.endpoint = collector.url(), .sample = 1};
  t.AddEndpoint("a10", engine.address());
  t.Start();
  t.Chat(ChatBody(5, false), {"traceparent: 00-broken", "tracestate: a=1"});
  std::string unsampled = kParent;
  unsampled.back() = '0';
  t.Chat(ChatBody(5, false), {"traceparent: " + unsampled, "tracestate: a=1"});
  ASSERT_TRUE(Eventually([&] { return collector.Spans().size() == 3; }));
  const auto posts = engine.Posts();
  ASSERT_THAT(posts, SizeIs(2));
  const std::string trace = collector.Spans()[0]["traceId"];
  EXPECT_NE(trace, kTraceId);
  EXPECT_FALSE(collector.Spans()[0].contains("parentSpanId"));
  EXPECT_THAT(Field(posts[0].fields, "traceparent"), HasSubstr("00-" + trace + "-"));
  EXPECT_EQ(Field(posts[0].fields, "tracestate"), "");
  const std::string sent = Field(posts[1].fields, "traceparent");
  EXPECT_THAT(sent, AllOf(HasSubstr(kTraceId), Not(HasSubstr("00f067aa0ba902b7"))));
  EXPECT_EQ(sent.substr(sent.size() - 3), "-00");
  EXPECT_EQ(Field(posts[1].fields, "tracestate"), "a=1");
}

TEST(Traces, WithoutACollectorContextPassesAsItIs) {
  RecordingEngine engine;
  TestGateway t;
  t.AddEndpoint("a10", engine.address());
  t.Start();
  t.Chat(ChatBody(5, false), {"traceparent: anything", "tracestate: a"});
  EXPECT_EQ(Field(engine.Posts()[0].fields, "traceparent"), "anything");
  EXPECT_EQ(Field(engine.Posts()[0].fields, "tracestate"), "a");
}

TEST(Traces, FailedTriesAndRefusalsAreErrorsWithTheirCauses) {
  FakeCollector collector;
  TestGateway t;
  t.config.tracing = {.endpoint = collector.url(), .sample = 1};
  t.config.health.interval = 3600;  // Only the data path finds out.
  net::RawListener dead;
  t.AddEndpoint("a10", dead.address().ToString());
  dead.Close();
  t.Start();
  ASSERT_EQ(t.Chat(ChatBody(5, false)).status, 503);
  ASSERT_TRUE(Eventually([&] { return collector.Spans().size() == 4; }));
  const std::vector<json> spans = collector.Spans();
  EXPECT_EQ(spans[0]["status"]["code"], 2);
  EXPECT_EQ(spans[0]["attributes"]["error.type"], "503");
  EXPECT_EQ(spans[0]["attributes"]["headrace.refused"], "no_endpoint");
  EXPECT_EQ(spans[1]["name"], "queue");
  EXPECT_EQ(spans[2]["attributes"]["error.type"], "connect");
  EXPECT_EQ(spans[2]["attributes"]["server.port"], std::to_string(dead.address().port()));
  EXPECT_THAT(spans[2]["status"]["message"].get<std::string>(), HasSubstr("refused"));
  EXPECT_EQ(spans[3]["name"], "queue");
}

TEST(Traces, InvalidRequestIsASpanOfItsOwn) {
  FakeCollector collector;
  TestGateway t;
  t.config.tracing = {.endpoint = collector.url(), .sample = 1};
  t.AddEngine("a10");
  t.Start();
  ASSERT_EQ(t.Chat("{").status, 400);
  ASSERT_TRUE(Eventually([&] { return collector.Spans().size() == 1; }));
  const json span = collector.Spans()[0];
  EXPECT_EQ(span["attributes"]["http.response.status_code"], "400");
  EXPECT_TRUE(span["status"].empty());  // It is the client's mistake.
}

TEST(Traces, WhoHasNoKeyFillsNoCollector) {
  constexpr char kSalt[] = "0123456789abcdef";
  constexpr char kKey[] = "secret-of-a-client";
  FakeCollector collector;
  TestGateway t;
  t.config.tracing = {.endpoint = collector.url(), .sample = 1};
  t.config.api_keys = (t.folder.path() / "keys.yaml").string();
  const std::string salt =
      access::ToHex({reinterpret_cast<const std::uint8_t*>(kSalt), sizeof(kSalt) - 1});
  t.folder.Write("keys.yaml",
                 *config::WithKey("salt: " + salt, "keys.yaml", kSalt,
                                  {.name = "any", .hash = access::HashOfKey(kSalt, kKey)}));
  t.AddEngine("a10");
  t.Start();
  const std::string parent = std::string("traceparent: ") + kParent;
  ASSERT_EQ(t.Chat(ChatBody(5, false), {parent}).status, 401);
  ASSERT_EQ(t.Chat(ChatBody(5, false), {std::string("x-api-key: ") + kKey}).status, 200);
  ASSERT_TRUE(Eventually([&] { return !collector.Spans().empty(); }));
  for (const json& span : collector.Spans()) EXPECT_NE(span["traceId"], kTraceId);
}

TEST(Traces, AccessLogNamesTheTrace) {
  FakeCollector collector;
  TestGateway t;
  t.config.tracing = {.endpoint = collector.url(), .sample = 0};
  t.config.log.access = config::LogConfig::Access::kJson;
  t.config.log.access_file = (t.folder.path() / "access.log").string();
  t.AddEngine("a10");
  t.Start();
  t.Chat(ChatBody(5, false), {"traceparent: " + std::string(kParent)});
  t.Chat("{", {"traceparent: " + std::string(kParent)});
  EXPECT_TRUE(Eventually([&] {
    std::ifstream file(t.config.log.access_file);
    int lines = 0;
    for (std::string line; std::getline(file, line);) {
      lines += line.find(std::string(R"("trace_id":")") + kTraceId + '"') != line.npos ? 1 : 0;
    }
    return lines == 2;
  }));
}

TEST(Traces, CollectorComesAndGoesWhileTheGatewayRuns) {
  FakeCollector first;
  FakeCollector second;
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  t.Chat(ChatBody(5, false));
  const auto use = [&](const std::string& endpoint) {
    config::Config changed = t.config;
    changed.tracing = {.endpoint = endpoint, .sample = 1};
    ASSERT_THAT(*t.gateway->Apply(changed), IsEmpty());
    t.Chat(ChatBody(5, false));
  };
  use(first.url());
  EXPECT_TRUE(Eventually([&] { return first.Spans().size() == 3; }));
  use(second.url());
  EXPECT_TRUE(Eventually([&] { return second.Spans().size() == 3; }));
  use("");
  EXPECT_THAT(first.Spans(), SizeIs(3));
  EXPECT_THAT(second.Spans(), SizeIs(3));
}

// --- The exporter alone

// Without a gateway; it looks for spans and tries again at once.
struct Exporter {
  explicit Exporter(TraceExporter::Options options = {}) {
    options.interval = options.first_retry = options.last_retry = 0.001;
    exporter = std::make_unique<TraceExporter>(registry, faults, options);
  }
  void Use(const std::string& endpoint) { Use({.endpoint = endpoint}); }
  void Use(const config::TracingConfig& config) { EXPECT_EQ(FaultOf(config), ""); }
  // Why it cannot be used; "" if it is, from now on.
  std::string FaultOf(const config::TracingConfig& config) {
    const auto used = exporter->SetConfig(config);
    return used ? "" : used.error().message;
  }
  // One with a span of its own and a wait: no endpoint took it.
  void Finish() {
    serving::FinishedRequest request;
    request.trace = traces.Start("", "");
    exporter->OnFinished(request);
  }
  double Spans(const std::string& result) const {
    return SumOf(registry.Text(), "headrace_trace_spans_total{result=\"" + result);
  }
  bool Said(std::string_view text) const {
    const system::MutexLock lock(mutex);
    return said.find(text) != std::string::npos;
  }

  mutable system::Mutex mutex;
  std::string said HEADRACE_GUARDED_BY(mutex);
  telemetry::Log log{telemetry::LogLevel::kInfo, telemetry::LogFormat::kText,
                     [this](std::string_view line) {
                       const system::MutexLock lock(mutex);
                       said.append(line) += '\n';
                     }};
  telemetry::StandingFaults faults{log, 0};
  telemetry::MetricsRegistry registry;
  tracing::TraceStarter traces{1, Rng(1), Rng(2)};
  std::unique_ptr<TraceExporter> exporter;
};

TEST(TraceExporter, CollectorThatIsBusyGetsTheSameSpansAgain) {
  FakeCollector collector;
  collector.Answer({{429, "", "0"}, {502}, {503}, {504}});
  Exporter e;
  e.Use(collector.url());
  e.Finish();
  ASSERT_TRUE(Eventually([&] { return e.Spans("sent") == 2; }));
  const auto bodies = collector.Bodies();
  ASSERT_THAT(bodies, SizeIs(5));
  for (const std::string& body : bodies) EXPECT_EQ(body, bodies[0]);
  EXPECT_EQ(e.Spans("failed"), 0);
  EXPECT_TRUE(e.Said("takes no spans (status 504: {}); they are sent again"));
  EXPECT_TRUE(Eventually([&] { return e.Said("takes spans again"); }));
}

TEST(TraceExporter, WhatTheCollectorCannotReadIsDroppedAndSaid) {
  FakeCollector collector;
  collector.Answer({{400, "no such thing"}});
  Exporter e;
  e.Use(collector.url());
  e.Finish();
  ASSERT_TRUE(Eventually([&] { return e.Spans("failed") == 2; }));
  EXPECT_TRUE(e.Said("takes no spans (status 400: no such thing); they are dropped"));
  EXPECT_THAT(collector.Bodies(), SizeIs(1));
}

TEST(TraceExporter, PartialSuccessIsCountedAndSaid) {
  FakeCollector collector;
  collector.Answer({{200, R"({"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}})"}});
  Exporter e;
  e.Use(collector.url());
  e.Finish();
  ASSERT_TRUE(Eventually([&] { return e.Spans("rejected") == 1; }));
  EXPECT_EQ(e.Spans("sent"), 1);
  EXPECT_TRUE(Eventually([&] { return e.Said("has rejected 1 of 2 spans: too old"); }));
}

// It takes connections, and nothing more.
TEST(TraceExporter, CollectorThatHangsCostsABoundedMemoryAndNoTime) {
  const net::RawListener collector;
  Exporter e({.most_spans = 100, .timeout = 3600, .patience_at_end = 0});
  e.Use("http://" + collector.address().ToString());
  for (int i = 0; i < 1000; ++i) e.Finish();
  // At most one batch is on its way beside those that wait.
  EXPECT_GE(e.Spans("dropped"), 2000 - 2 * 100);
  EXPECT_EQ(e.Spans("sent"), 0);
}

TEST(TraceExporter, CollectorThatIsAwayForLongLosesTheOldestSpansOnly) {
  net::RawListener away;
  const std::string address = away.address().ToString();
  away.Close();
  Exporter e({.give_up = 0});
  e.Use("http://" + address);
  e.Finish();
  ASSERT_TRUE(Eventually([&] { return e.Spans("failed") == 2; }));
  FakeCollector collector;
  e.Use(collector.url());
  e.Finish();
  EXPECT_TRUE(Eventually([&] { return e.Spans("sent") == 2; }));
}

TEST(TraceExporter, WhatIsLeftIsSentAtTheEnd) {
  FakeCollector collector;
  {
    Exporter e;
    e.exporter = std::make_unique<TraceExporter>(e.registry, e.faults,
                                                 TraceExporter::Options{.interval = 3600});
    e.Use(collector.url());
    for (int i = 0; i < 700; ++i) e.Finish();  // Three batches.
  }
  EXPECT_THAT(collector.Spans(), SizeIs(1400));
}

TEST(TraceExporter, CertificateOfTheCollectorIsChecked) {
  const net::TestCa ca;
  const net::TestCertificate own = ca.Issue("IP:127.0.0.1");
  FakeCollector collector(
      *net::TlsContext::ForServer({.certificate = own.certificate, .key = own.key}));
  Exporter stranger;
  stranger.Use(collector.url());
  stranger.Finish();
  EXPECT_TRUE(Eventually([&] { return stranger.Said("signed by a CA that is not known"); }));
  const system::TemporaryFolder folder;
  folder.Write("ca.pem", ca.certificate());
  setenv("SSL_CERT_FILE", (folder.path() / "ca.pem").c_str(), 1);
  Exporter e;
  e.Use(collector.url());
  unsetenv("SSL_CERT_FILE");
  e.Finish();
  EXPECT_TRUE(Eventually([&] { return e.Spans("sent") == 2; }));
}

TEST(TraceExporter, CollectorMayHaveAnOwnCaAndAskForACertificate) {
  const net::TestCa ca;
  const net::TestCertificate its = ca.Issue("DNS:collector.test");
  const net::TestCertificate own = ca.Issue("DNS:gateway.test");
  FakeCollector collector(*net::TlsContext::ForServer(
      {.ca = ca.certificate(), .certificate = its.certificate, .key = its.key}));
  const system::TemporaryFolder folder;
  folder.Write("ca.pem", ca.certificate());
  folder.Write("own.pem", own.certificate);
  folder.Write("own-key.pem", own.key);
  const auto path = [&folder](const char* name) { return (folder.path() / name).string(); };
  config::TracingConfig config{.endpoint = collector.url(),
                               .tls = {.ca = path("ca.pem"),
                                       .server_name = "collector.test",
                                       .certificate = path("own.pem"),
                                       .key = path("own-key.pem")}};
  Exporter e;
  e.Use(config);
  e.Finish();
  EXPECT_TRUE(Eventually([&] { return e.Spans("sent") == 2; }));
  // The next reading of the configuration reads them again.
  folder.Write("ca.pem", net::TestCa("another CA").certificate());
  e.Use(config);
  e.Finish();
  EXPECT_TRUE(Eventually([&] { return e.Said("signed by a CA that is not known"); }));
  config.tls.ca = path("none.pem");
  EXPECT_THAT(e.FaultOf(config), HasSubstr("tracing.tls: "));
}

TEST(TraceExporter, UrlMayBeWhole) {
  FakeCollector collector;
  Exporter e;
  e.Use(collector.url() + "/v1/traces");
  e.Finish();
  ASSERT_TRUE(Eventually([&] { return e.Spans("sent") == 2; }));
  EXPECT_THAT(collector.Head(), HasSubstr("POST /v1/traces\n"));
}

}  // namespace
}  // namespace headrace::gateway
