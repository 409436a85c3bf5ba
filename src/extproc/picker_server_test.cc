// The picker's server, as Envoy meets it.
#include "extproc/picker_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/random.h"
#include "extproc/test_envoy.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "net/test_certificates.h"

namespace headrace::extproc {
namespace {

using gateway::ChatBody;
using gateway::Eventually;
using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr std::string_view kAnswer =
    R"({"choices":[{"message":{"content":"Deep."}}],)"
    R"("usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}})";

// The body that Envoy gets back in FULL_DUPLEX_STREAMED.
std::string ReceiveBody(EnvoyStream& stream) {
  std::string body;
  for (;;) {
    const ProcessingResponse reply = stream.Receive();
    const auto& common = reply.has_request_body() ? reply.request_body().response()
                                                  : reply.response_body().response();
    body += common.body_mutation().streamed_response().body();
    if (common.body_mutation().streamed_response().end_of_stream() ||
        reply.response_case() == ProcessingResponse::RESPONSE_NOT_SET) {
      return body;
    }
  }
}

TEST(PickerServer, ServesARequest) {
  TestPicker picker;
  picker.StartWithEngine();
  EnvoyStream stream(*picker.stub);
  const std::string body = ChatBody(64, false);
  stream.Send(RequestHeaders({}));
  stream.Send(RequestBody(body, true));
  EXPECT_EQ(DestinationIn(stream.Receive()), picker.engine());
  EXPECT_EQ(ReceiveBody(stream), body);
  stream.Send(ResponseHeaders({{":status", "200"}, {"content-type", "application/json"}}));
  stream.Send(ResponseBody(kAnswer, true));
  EXPECT_EQ(HeaderIn(HeadersOf(stream.Receive()), "target-pod"), picker.engine());
  EXPECT_EQ(ReceiveBody(stream), kAnswer);
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_TRUE(Eventually([&] { return picker.Idle(); }));
  EXPECT_EQ(picker.Metric("headrace_requests_total{model=\"llama2-7b\",outcome=\"completed\""), 1);
}

TEST(PickerServer, LongBodies) {
  TestPicker picker;
  picker.StartWithEngine();
  Rng rng(3);
  std::string body = ChatBody(64, false);
  body.insert(body.find("How deep"), 5'000'000, 'w');
  EnvoyStream stream(*picker.stub);
  stream.Send(RequestHeaders({}));
  auto received = std::async(std::launch::async, [&stream] {
    stream.Receive();
    return ReceiveBody(stream);
  });
  for (std::string_view rest = body; !rest.empty();) {
    const std::string_view piece = rest.substr(0, 1 + rng.Below(200'000));
    rest.remove_prefix(piece.size());
    stream.Send(RequestBody(piece, rest.empty()));
  }
  EXPECT_TRUE(received.get() == body);

  EnvoyStream buffered(*picker.stub);  // In one message.
  buffered.Send(RequestHeaders({.request = ProcessingMode::BUFFERED}));
  EXPECT_TRUE(buffered.Receive().has_request_headers());
  buffered.Send(RequestBody(body, true));
  EXPECT_EQ(DestinationIn(buffered.Receive()), picker.engine());
}

// One place: who waits gets it when the stream before it ends, however that ends.
TEST(PickerServer, AStreamThatEndsGivesItsPlaceToTheNext) {
  TestPicker picker;
  picker.StartWithEngine(1);
  std::vector<std::unique_ptr<EnvoyStream>> streams;
  for (int i = 0; i < 8; ++i) {
    streams.push_back(std::make_unique<EnvoyStream>(*picker.stub));
    streams.back()->Send(RequestHeaders({}));
    streams.back()->Send(RequestBody(ChatBody(64, false), true));
    ASSERT_TRUE(Eventually([&] {
      const auto status = picker.Status();
      return status.waiting + status.running == static_cast<std::size_t>(i) + 1;
    }));
  }
  for (std::size_t i = 0; i < streams.size(); ++i) {
    EXPECT_EQ(DestinationIn(streams[i]->Receive()), picker.engine());
    if (i % 2 == 0) {
      streams[i]->Cancel();
    } else {
      EXPECT_TRUE(streams[i]->Finish().ok());
    }
  }
  EXPECT_TRUE(Eventually([&] { return picker.Idle(); }));
}

TEST(PickerServer, ManyAtATime) {
  TestPicker picker;
  picker.StartWithEngine(1000);
  std::vector<std::thread> threads;
  std::atomic<int> served = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        EnvoyStream stream(*picker.stub);
        stream.Send(RequestHeaders({}));
        stream.Send(RequestBody(ChatBody(64, false), true));
        const bool picked = DestinationIn(stream.Receive()) == picker.engine();
        ReceiveBody(stream);
        stream.Send(ResponseHeaders({{":status", "200"}, {"content-type", "application/json"}}));
        stream.Send(ResponseBody(kAnswer, true));
        stream.Receive();
        if (picked && ReceiveBody(stream) == kAnswer) ++served;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, 200);
  EXPECT_TRUE(Eventually([&] { return picker.Idle(); }));
}

TEST(PickerServer, WhatIsNoMessageEndsTheStream) {
  TestPicker picker;
  picker.StartWithEngine();
  grpc::GenericStub stub(picker.channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  const auto stream =
      stub.PrepareCall(&context, "/envoy.service.ext_proc.v3.ExternalProcessor/Process", &queue);
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
  };
  stream->StartCall(nullptr);
  wait();
  const grpc::Slice garbage("\xff\xff\xff\xff");
  stream->Write(grpc::ByteBuffer(&garbage, 1), nullptr);
  wait();
  grpc::Status status;
  stream->Finish(&status, nullptr);
  wait();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
}

// --- Health

HealthCheckResponse::ServingStatus HealthAt(const std::shared_ptr<grpc::Channel>& channel,
                                            const std::string& service) {
  const auto stub = Health::NewStub(channel);
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  const grpc::Status status = stub->Check(&context, request, &response);
  return status.ok() ? response.status() : HealthCheckResponse::SERVICE_UNKNOWN;
}
std::shared_ptr<grpc::Channel> ChannelTo(int port,
                                         const std::shared_ptr<grpc::ChannelCredentials>&
                                             credentials = grpc::InsecureChannelCredentials()) {
  return grpc::CreateChannel("127.0.0.1:" + std::to_string(port), credentials);
}

constexpr const char* kReadiness[] = {"", "readiness", "inference-extension",
                                      "envoy.service.ext_proc.v3.ExternalProcessor"};

TEST(PickerHealth, IsThatOfTheEngines) {
  TestPicker picker;
  picker.StartWithEngine();
  for (const auto& channel : {picker.channel, ChannelTo(picker.picker->health_port())}) {
    for (const char* const name : kReadiness) {
      EXPECT_EQ(HealthAt(channel, name), HealthCheckResponse::SERVING) << name;
    }
    EXPECT_EQ(HealthAt(channel, "liveness"), HealthCheckResponse::SERVING);
    EXPECT_EQ(HealthAt(channel, "other"), HealthCheckResponse::SERVICE_UNKNOWN);
  }
  picker.engines.clear();
  const auto channel = ChannelTo(picker.picker->health_port());
  EXPECT_TRUE(Eventually(
      [&] { return HealthAt(channel, "readiness") == HealthCheckResponse::NOT_SERVING; }));
  EXPECT_EQ(HealthAt(channel, "liveness"), HealthCheckResponse::SERVING);
}

// What one who watches a service is told, one after the other.
class HealthWatch {
 public:
  HealthWatch(const std::shared_ptr<grpc::Channel>& channel, const std::string& service)
      : stub_(Health::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    HealthCheckRequest request;
    request.set_service(service);
    reader_ = stub_->Watch(&context_, request);
  }
  ~HealthWatch() {
    context_.TryCancel();
    if (!ended_) Status();
  }
  // UNKNOWN: it has ended.
  HealthCheckResponse::ServingStatus Next() {
    HealthCheckResponse response;
    return reader_->Read(&response) ? response.status() : HealthCheckResponse::UNKNOWN;
  }
  grpc::StatusCode Status() {
    while (Next() != HealthCheckResponse::UNKNOWN) {
    }
    ended_ = true;
    return reader_->Finish().error_code();
  }

 private:
  const std::unique_ptr<Health::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
  bool ended_ = false;
};

TEST(PickerHealth, WhoWatchesHearsOfChanges) {
  TestPicker picker;
  picker.StartWithEngine();
  HealthWatch lives(picker.channel, "liveness");
  HealthWatch other(picker.channel, "other");
  HealthWatch gone(picker.channel, "readiness");
  for (const auto& channel : {picker.channel, ChannelTo(picker.picker->health_port())}) {
    HealthWatch ready(channel, "readiness");
    EXPECT_EQ(ready.Next(), HealthCheckResponse::SERVING);
  }
  HealthWatch ready(picker.channel, "inference-extension");
  EXPECT_EQ(ready.Next(), HealthCheckResponse::SERVING);
  picker.engines.clear();
  EXPECT_EQ(ready.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(lives.Next(), HealthCheckResponse::SERVING);
  EXPECT_EQ(other.Next(), HealthCheckResponse::SERVICE_UNKNOWN);
}

TEST(PickerHealth, WhoWatchesDoesNotHoldUpTheEnd) {
  TestPicker picker;
  picker.StartWithEngine();
  HealthWatch at_main(picker.channel, "readiness");
  HealthWatch at_health(ChannelTo(picker.picker->health_port()), "readiness");
  for (HealthWatch* const watch : {&at_main, &at_health}) {
    EXPECT_EQ(watch->Next(), HealthCheckResponse::SERVING);
  }
  picker.picker->BeginDrain();
  for (HealthWatch* const watch : {&at_main, &at_health}) {
    EXPECT_EQ(watch->Next(), HealthCheckResponse::NOT_SERVING);
  }
  auto stopped = std::async(std::launch::async, [&picker] { picker.picker->Stop(600); });
  for (HealthWatch* const watch : {&at_main, &at_health}) {
    EXPECT_EQ(watch->Status(), grpc::StatusCode::UNAVAILABLE);
  }
}

// --- Drain

TEST(PickerDrain, StreamsInFlightAreServedToTheirEnd) {
  TestPicker picker;
  picker.StartWithEngine();
  EnvoyStream stream(*picker.stub);
  stream.Send(RequestHeaders({}));
  stream.Send(RequestBody(ChatBody(64, false), true));
  EXPECT_EQ(DestinationIn(stream.Receive()), picker.engine());
  ReceiveBody(stream);
  picker.picker->BeginDrain();
  const auto health = ChannelTo(picker.picker->health_port());
  EXPECT_EQ(HealthAt(health, "readiness"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(HealthAt(health, "liveness"), HealthCheckResponse::SERVING);
  EnvoyStream late(*picker.stub);  // Not yet refused: Envoy may not know.
  late.Send(RequestHeaders({}));
  late.Send(RequestBody(ChatBody(64, false), true));
  EXPECT_EQ(DestinationIn(late.Receive()), picker.engine());
  late.Cancel();

  auto stopped = std::async(std::launch::async, [&picker] { picker.picker->Stop(20); });
  stream.Send(ResponseHeaders({{":status", "200"}, {"content-type", "application/json"}}));
  stream.Send(ResponseBody(kAnswer, true));
  stream.Receive();
  EXPECT_EQ(ReceiveBody(stream), kAnswer);
  EXPECT_TRUE(stream.Finish().ok());
  stopped.get();
  EXPECT_TRUE(picker.Idle());
}

TEST(PickerDrain, HasABound) {
  TestPicker picker;
  picker.StartWithEngine();
  EnvoyStream stream(*picker.stub);
  stream.Send(RequestHeaders({}));
  stream.Send(RequestBody(ChatBody(64, false), true));
  EXPECT_EQ(DestinationIn(stream.Receive()), picker.engine());
  picker.picker->Stop(0.05);
  EXPECT_FALSE(stream.Status().ok());
  EXPECT_TRUE(picker.Idle());
}

// --- TLS

// What the picker shows to one who trusts `ca`; whether they agree.
bool Trusts(const TestPicker& picker, const std::string& ca) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ca;
  const auto channel = ChannelTo(picker.picker->port(), grpc::SslCredentials(options));
  return HealthAt(channel, "liveness") == HealthCheckResponse::SERVING;
}

TEST(PickerTls, SelfSignedByDefault) {
  TestPicker picker;
  picker.config.extproc.tls = true;
  picker.StartWithEngine();
  EXPECT_EQ(HealthAt(picker.channel, "liveness"), HealthCheckResponse::SERVICE_UNKNOWN);  // Plain.
  EXPECT_FALSE(Trusts(picker, net::TestCa().certificate()));
  // As the Gateway API's proxies connect: any certificate will do.
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  options.set_check_call_host(false);
  const auto channel =
      ChannelTo(picker.picker->port(), grpc::experimental::TlsCredentials(options));
  EXPECT_EQ(HealthAt(channel, "liveness"), HealthCheckResponse::SERVING);
}

TEST(PickerTls, AGivenCertificateIsReadAgain) {
  const net::TestCa ca;
  const net::TestCa other("other CA");
  TestPicker picker;
  const auto write = [&picker](const net::TestCertificate& pair) {
    picker.folder.Write("picker-key.pem", pair.key);
    picker.folder.Write("picker.pem", pair.certificate);
  };
  write(ca.Issue("IP:127.0.0.1"));
  picker.config.extproc.tls = true;
  picker.config.extproc.certificate = (picker.folder.path() / "picker.pem").string();
  picker.config.extproc.key = (picker.folder.path() / "picker-key.pem").string();
  picker.StartWithEngine();
  EXPECT_TRUE(Trusts(picker, ca.certificate()));
  write(other.Issue("IP:127.0.0.1"));
  EXPECT_TRUE(Eventually([&] { return Trusts(picker, other.certificate()); }));
  EXPECT_FALSE(Trusts(picker, ca.certificate()));
}

TEST(PickerTls, WhatIsNoPairIsSaidAtTheStart) {
  const net::TestCa ca;
  TestPicker picker;
  picker.folder.Write("picker.pem", ca.Issue("IP:127.0.0.1").certificate);
  picker.folder.Write("picker-key.pem", ca.Issue("IP:127.0.0.1").key);
  picker.config.extproc.tls = true;
  picker.config.extproc.certificate = (picker.folder.path() / "picker.pem").string();
  picker.config.extproc.key = (picker.folder.path() / "picker-key.pem").string();
  EXPECT_THAT([&] { picker.StartWithEngine(); },
              testing::ThrowsMessage<std::runtime_error>(
                  testing::HasSubstr("has a key that does not belong to the certificate")));
}

TEST(PickerServer, AnAddressThatIsTakenIsAnError) {
  TestPicker picker;
  picker.StartWithEngine();
  TestPicker other;
  other.config.extproc.listen = "127.0.0.1:" + std::to_string(picker.picker->port());
  EXPECT_THAT([&] { other.StartWithEngine(); },
              testing::ThrowsMessage<std::runtime_error>(testing::HasSubstr("cannot listen on")));
}

}  // namespace
}  // namespace headrace::extproc
