#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "completion/client.h"
#include "emulator/emulated_engine.h"
#include "net/http_server.h"
#include "net/test_certificates.h"
#include "net/test_peers.h"
#include "net/tls_server.h"
#include "system/clock.h"
#include "system/files.h"
#include "system/temporary_folder.h"

namespace headrace::completion {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Seconds kPatience = 60;
constexpr std::string_view kAnswer = R"({"choices":[{"text":"x"}]})";

class CompletionTest : public ::testing::Test {
 protected:
  CompletionTest() {
    emulator::EmulatedEngineOptions options;
    options.model = "m";
    options.engine.step = {.a = 2e-3, .b = 1e-6, .c = 1e-6, .d = 1e-9};
    options.engine.kv_blocks = 600;
    options.engine.max_model_len = 2048;
    options.listen = net::AnyLoopbackPort();
    engine_ = *emulator::EmulatedEngine::Start(options);
    Connect(engine_->address());
  }
  ~CompletionTest() override { Disconnect(); }

  void Connect(const system::SocketAddress& address) { Connect(EndpointAt(address)); }
  void Connect(Endpoint endpoint) {
    Disconnect();
    endpoint.headers = {"X-Extra:  yes", "X-Empty:"};
    threads_[0].Run([&] { client_ = std::make_unique<Client>(threads_[0], std::move(endpoint)); });
  }
  void Disconnect() {
    threads_[0].Run([&] { client_.reset(); });
  }
  // Connects to a server that answers like this.
  void ConnectTo(net::HttpHandler handler) {
    server_ = *net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), {}, std::move(handler));
    Connect(server_->address());
  }

  static Request Ask(Tokens output) {
    Request request;
    request.model = "m";
    request.prompt = "lake dam sluice weir";
    request.max_tokens = output;
    return request;
  }
  Response Complete(const Request& request, Seconds timeout = kPatience,
                    const std::function<void(const Response&)>& on_head = nullptr) {
    due_ = system::MonotonicNow();
    const std::function<net::Task<Response>()> body = [&] {
      return client_->Complete(request, due_, due_ + timeout, on_head);
    };
    return net::RunTask(threads_[0], body);
  }

  std::unique_ptr<emulator::EmulatedEngine> engine_;
  net::IoThreads threads_{2};
  std::unique_ptr<net::HttpServer> server_;
  std::unique_ptr<Client> client_;
  Seconds due_ = 0;
};

TEST_F(CompletionTest, AStreamIsCountedAndTimed) {
  for (const openai::ApiKind api :
       {openai::ApiKind::kChatCompletions, openai::ApiKind::kCompletions}) {
    Request request = Ask(20);
    request.api = api;
    int heads = 0;
    const Response response = Complete(request, kPatience, [&](const Response& head) {
      ++heads;
      EXPECT_EQ(head.status, 200);
      EXPECT_EQ(head.first_token, 0);
    });
    EXPECT_EQ(response.outcome, Outcome::kCompleted);
    EXPECT_EQ(heads, 1);
    EXPECT_TRUE(response.streamed);
    // A token each; an engine that was held up sends some together.
    EXPECT_GT(response.pieces, 0);
    EXPECT_LE(response.pieces, 20);
    ASSERT_TRUE(response.usage);
    EXPECT_EQ(response.usage->completion_tokens, 20);
    EXPECT_EQ(response.due, due_);
    EXPECT_LE(response.due, response.sent);
    EXPECT_LE(response.sent, response.head);
    EXPECT_LE(response.head, response.first_token);
    // 19 steps of at least 2 ms.
    EXPECT_GE(response.last_token - response.first_token, 0.02);
    EXPECT_LE(response.last_token, response.end);

    const slo::RequestLatency latency = LatencyOf(response, 7);
    EXPECT_EQ(latency.ttft, response.first_token - due_);
    EXPECT_EQ(latency.e2e, response.end - due_);
    EXPECT_EQ(latency.prompt_tokens, response.usage->prompt_tokens);
    EXPECT_EQ(latency.output_tokens, 20);
  }
}

TEST_F(CompletionTest, OneJsonObjectHasNoFirstToken) {
  Request request = Ask(20);
  request.stream = false;
  const Response response = Complete(request);
  EXPECT_EQ(response.outcome, Outcome::kCompleted);
  EXPECT_FALSE(response.streamed);
  EXPECT_EQ(response.usage->completion_tokens, 20);
  EXPECT_EQ(response.first_token, 0);
  EXPECT_FALSE(LatencyOf(response, 7).ttft);
  EXPECT_FALSE(LatencyOf(response, 7).Tpot());
  EXPECT_THAT(response.text, HasSubstr("\"choices\""));
}

TEST_F(CompletionTest, ARefusalKeepsItsStatusAndText) {
  const Response response = Complete(Ask(5000));
  EXPECT_EQ(response.outcome, Outcome::kErrorStatus);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(Describe(response), "status 400");
  EXPECT_THAT(response.text, HasSubstr("error"));
  EXPECT_THAT(response.said, AllOf(HasSubstr("2048"), Not(HasSubstr("{")))) << "its sentence";
}

TEST_F(CompletionTest, AnAnswerWithoutATokenIsNone) {
  std::string type;
  std::string body;
  ConnectTo([&](net::HttpExchange& exchange) -> net::Task<void> {
    net::ResponseHead head(200);
    head.Add("content-type", type);
    co_await exchange.Respond(head, body);
  });
  const auto outcome = [&](bool stream, const std::string& sent) {
    type = stream ? "text/event-stream" : "application/json";
    body = sent;
    Request request = Ask(2);
    request.stream = stream;
    return Complete(request).outcome;
  };
  const std::string done = "data: [DONE]\n\n";
  const std::string piece = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
  const std::string role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
  EXPECT_EQ(outcome(true, role + done), Outcome::kNoToken);
  EXPECT_EQ(outcome(true, role + piece + done), Outcome::kCompleted);
  for (const char* content :
       {R"("reasoning_content":"x")", R"("reasoning":"x")", R"("tool_calls":[{"index":0}])"}) {
    const std::string chunk =
        std::string("data: {\"choices\":[{\"delta\":{") + content + "}}]}\n\n";
    EXPECT_EQ(outcome(true, role + chunk + done), Outcome::kCompleted) << content;
  }
  EXPECT_EQ(outcome(false, "{}"), Outcome::kNoToken);
  EXPECT_EQ(outcome(false, R"({"choices":[{"message":{"content":""}}]})"), Outcome::kNoToken);
  EXPECT_EQ(outcome(false, R"({"choices":[{"message":{"content":"x"}}]})"), Outcome::kCompleted);
  EXPECT_EQ(outcome(false, R"({"choices":[{"text":"x"}]})"), Outcome::kCompleted);
  EXPECT_EQ(outcome(false, R"({"choices":[{"message":{"content":null,"tool_calls":[{}]}}]})"),
            Outcome::kCompleted);
  EXPECT_EQ(outcome(false, R"({"choices":[{"text":"x"}],"usage":{"completion_tokens":0}})"),
            Outcome::kNoToken)
      << "the server says so";
}

TEST_F(CompletionTest, ACountInTheUsageIsNoTokenOfAStream) {
  ConnectTo([&](net::HttpExchange& exchange) -> net::Task<void> {
    net::ResponseHead head(200);
    head.Add("content-type", "text/event-stream");
    co_await exchange.Respond(head,
                              "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"},"
                              "\"finish_reason\":\"stop\"}]}\n\n"
                              "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
                              "\"completion_tokens\":8}}\n\ndata: [DONE]\n\n");
  });
  const Response response = Complete(Ask(8));
  EXPECT_EQ(response.outcome, Outcome::kNoToken);
  EXPECT_EQ(Describe(response), "no token in the stream, although its usage counts some");
}

TEST_F(CompletionTest, TheServersOwnSentenceIsKept) {
  std::string body;
  std::string explanation = "queued_ms=12.5; ttft_ms=80";
  ConnectTo([&](net::HttpExchange& exchange) -> net::Task<void> {
    net::ResponseHead head(401);
    head.Add("x-headrace-explain", explanation);
    co_await exchange.Respond(head, body);
  });
  const auto said = [&](const std::string& sent) {
    body = sent;
    return Complete(Ask(2)).said;
  };
  EXPECT_EQ(said(R"({"error":{"message":"wrong key","code":401}})"), "wrong key");
  EXPECT_EQ(said(R"({"error":"wrong key"})"), "wrong key");
  EXPECT_EQ(said(R"({"object":"error","message":"wrong key"})"), "wrong key");
  EXPECT_EQ(said(R"({"detail":"wrong key"})"), "wrong key");
  EXPECT_EQ(said("wrong key\n"), "wrong key");
  EXPECT_EQ(said(std::string(9999, 'x')).size(), std::string(300, 'x').size() + 3);
  EXPECT_EQ(Complete(Ask(2)).queued, 0.0125);
  explanation = "considered=2";
  EXPECT_FALSE(Complete(Ask(2)).queued);
}

TEST_F(CompletionTest, StreamsThatEndBadly) {
  std::string events;
  bool abort = false;
  ConnectTo([&](net::HttpExchange& exchange) -> net::Task<void> {
    net::ResponseHead head(200);
    head.Add("content-type", "text/event-stream");
    head.Add("target-pod", "pod-1");
    if (!abort) {
      co_await exchange.Respond(head, events);
    } else {
      exchange.Start(head, 1000);
      co_await exchange.Write(events);
      exchange.Abort();
    }
  });
  const std::string piece = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";

  events = piece + "data: {\"error\":{\"message\":\"out of memory\"}}\n\ndata: [DONE]\n\n";
  const Response error = Complete(Ask(2));
  EXPECT_EQ(error.outcome, Outcome::kErrorInStream);
  EXPECT_EQ(Describe(error), "error in the stream");
  EXPECT_EQ(error.said, "out of memory");
  EXPECT_EQ(error.deployment, "pod-1");

  events = piece;
  const Response cut = Complete(Ask(2));
  EXPECT_EQ(cut.outcome, Outcome::kBrokenOff);
  EXPECT_EQ(cut.status, 200);
  EXPECT_EQ(cut.pieces, 1);
  EXPECT_EQ(Describe(cut), "stream ended without its end");

  abort = true;
  const Response aborted = Complete(Ask(2));
  EXPECT_EQ(aborted.outcome, Outcome::kBrokenOff);
  EXPECT_EQ(aborted.error, net::CallError::kBroken);
}

TEST_F(CompletionTest, ADeadlineEndsACall) {
  // The engine needs more than 3 s for it.
  const Response response = Complete(Ask(1500), 0.1);
  EXPECT_EQ(response.outcome, Outcome::kTimedOut);
  EXPECT_LT(response.pieces, 1500);
  EXPECT_GE(response.end - response.due, 0.1);
}

TEST_F(CompletionTest, NobodyListens) {
  engine_->Stop();
  const Response response = Complete(Ask(2));
  EXPECT_EQ(response.outcome, Outcome::kBrokenOff);
  EXPECT_EQ(response.error, net::CallError::kConnectFailed);
  EXPECT_EQ(response.status, 0);
  EXPECT_EQ(response.head, 0);
}

TEST_F(CompletionTest, TheClientBreaksOffAndStops) {
  // Once the head is there; the rest would take more than 3 s.
  const auto break_off = [&](const Response&) { threads_[0].Post([&] { client_->BreakOff(); }); };
  const Response broken = Complete(Ask(1500), kPatience, break_off);
  EXPECT_EQ(broken.outcome, Outcome::kStopped);
  EXPECT_EQ(broken.status, 200);
  EXPECT_EQ(Complete(Ask(2)).outcome, Outcome::kCompleted);

  threads_[0].Run([&] { client_->Stop(); });
  const Response stopped = Complete(Ask(2));
  EXPECT_EQ(stopped.outcome, Outcome::kStopped);
  EXPECT_EQ(stopped.sent, 0);
}

TEST_F(CompletionTest, GetsASmallPage) {
  const std::function<net::Task<Response>()> body = [&] {
    return client_->Get("/v1/models", system::MonotonicNow() + kPatience);
  };
  const Response response = net::RunTask(threads_[0], body);
  EXPECT_EQ(response.outcome, Outcome::kCompleted);
  EXPECT_THAT(response.text, HasSubstr("max_model_len"));
}

TEST_F(CompletionTest, SpeaksTlsAndUsesTheBaseOfTheUrl) {
  const net::TestCa ca;
  const net::TestCertificate own = ca.Issue("DNS:localhost");
  const system::TemporaryFolder folder;
  const std::string trusted = folder.path() / "ca.pem";
  ASSERT_TRUE(system::WriteFile(trusted, ca.certificate()));
  setenv("SSL_CERT_FILE", trusted.c_str(), 1);
  std::string seen;
  net::HttpServerOptions options;
  options.stream_factory = net::TlsServerStreams(
      *net::TlsContext::ForServer({.certificate = own.certificate, .key = own.key}));
  server_ = *net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), options,
                                     [&](net::HttpExchange& exchange) -> net::Task<void> {
                                       seen = std::string(exchange.target()) + " at " +
                                              std::string(exchange.Header("host"));
                                       const net::ResponseHead head(200);
                                       co_await exchange.Respond(head, kAnswer);
                                     });
  const std::string port = std::to_string(server_->address().port());
  const auto ask = [&](const std::string& url) {
    const auto endpoint = EndpointAt(*system::ParseHttpUrl(url));
    EXPECT_TRUE(endpoint) << endpoint.error().message;
    Connect(*endpoint);
    return Complete(Ask(1));
  };
  EXPECT_EQ(ask("https://localhost:" + port + "/team/v1").outcome, Outcome::kCompleted);
  EXPECT_EQ(seen, "/team/v1/chat/completions at localhost:" + port);

  // A name that the certificate is not for.
  const Response other = ask("https://127.0.0.1:" + port);
  EXPECT_EQ(other.error, net::CallError::kTlsFailed);
  EXPECT_THAT(Describe(other), HasSubstr("certificate"));
  unsetenv("SSL_CERT_FILE");
}

TEST_F(CompletionTest, SendsWhatTheRequestSays) {
  std::string seen;
  std::string body;
  ConnectTo([&](net::HttpExchange& exchange) -> net::Task<void> {
    seen.clear();
    for (const net::HeaderField& field : exchange.headers()) {
      seen.append(field.name).append("=").append(field.value).append("\n");
    }
    body = exchange.body();
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, kAnswer);
  });
  Request request = Ask(7);
  request.model = "with \"quotes\"";
  request.temperature = 0;
  request.slo.emplace().ttft = 1.5;
  request.slo->tpat = 0.0505;
  request.slo->ntpot = 0.1;
  request.headers = {{"routing-strategy", "least-request"}};
  Complete(request);
  EXPECT_THAT(seen, HasSubstr("host=" + server_->address().ToString() + "\n"));
  EXPECT_THAT(seen, HasSubstr("x-slo-ttft-ms=1500\nx-slo-tpat-ms=50.5\nx-slo-ntpot-ms=100\n"));
  EXPECT_THAT(seen, HasSubstr("routing-strategy=least-request\n"));
  EXPECT_THAT(seen, HasSubstr("X-Extra=yes\nX-Empty=\n"));
  auto json = nlohmann::json::parse(body);
  EXPECT_EQ(json["model"], request.model);
  EXPECT_EQ(json["messages"][0]["content"], request.prompt);
  EXPECT_EQ(json["max_tokens"], 7);
  EXPECT_EQ(json["ignore_eos"], true);
  EXPECT_EQ(json["temperature"], 0);
  EXPECT_EQ(json["stream"], true);
  EXPECT_EQ(json["stream_options"]["include_usage"], true);

  request = Ask(0);
  request.api = openai::ApiKind::kCompletions;
  request.stream = false;
  Complete(request);
  json = nlohmann::json::parse(body);
  EXPECT_EQ(json["prompt"], request.prompt);
  EXPECT_EQ(json.size(), 2u);
}

}  // namespace
}  // namespace headrace::completion
