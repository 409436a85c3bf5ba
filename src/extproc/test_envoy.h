// For tests: what Envoy says on its streams, and a picker before emulated engines.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "envoy/service/ext_proc/v3/external_processor.grpc.pb.h"
#include "extproc/header_map.h"
#include "extproc/picker_server.h"
#include "gateway/test_gateway.h"

namespace headrace::extproc {

using envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
using envoy::service::ext_proc::v3::ExternalProcessor;
using envoy::service::ext_proc::v3::HeaderMutation;
using envoy::service::ext_proc::v3::ProcessingRequest;
using envoy::service::ext_proc::v3::ProcessingResponse;

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// --- Envoy's messages

inline void AddHeaders(const HeaderList& list, envoy::config::core::v3::HeaderMap& headers) {
  for (const auto& [name, value] : list) {
    auto& header = *headers.add_headers();
    header.set_key(name);
    header.set_raw_value(value);
  }
}

// As Envoy is configured.
struct Modes {
  ProcessingMode::BodySendMode request = ProcessingMode::FULL_DUPLEX_STREAMED;
  ProcessingMode::BodySendMode response = ProcessingMode::FULL_DUPLEX_STREAMED;
  bool send_body_without_waiting = false;
};

inline ProcessingRequest RequestHeaders(const Modes& modes, const HeaderList& more = {},
                                        bool end = false,
                                        std::string_view path = "/v1/chat/completions",
                                        std::string_view method = "POST") {
  ProcessingRequest message;
  HeaderList list = {{":method", std::string(method)},
                     {":path", std::string(path)},
                     {":authority", "llm.example"},
                     {"content-type", "application/json"}};
  list.insert(list.end(), more.begin(), more.end());
  AddHeaders(list, *message.mutable_request_headers()->mutable_headers());
  message.mutable_request_headers()->set_end_of_stream(end);
  auto& protocol = *message.mutable_protocol_config();
  protocol.set_request_body_mode(modes.request);
  protocol.set_response_body_mode(modes.response);
  protocol.set_send_body_without_waiting_for_header_response(modes.send_body_without_waiting);
  return message;
}
inline ProcessingRequest RequestBody(std::string_view bytes, bool end) {
  ProcessingRequest message;
  message.mutable_request_body()->set_body(std::string(bytes));
  message.mutable_request_body()->set_end_of_stream(end);
  return message;
}
inline ProcessingRequest RequestTrailers() {
  ProcessingRequest message;
  message.mutable_request_trailers();
  return message;
}
inline ProcessingRequest ResponseHeaders(const HeaderList& list, bool end = false) {
  ProcessingRequest message;
  AddHeaders(list, *message.mutable_response_headers()->mutable_headers());
  message.mutable_response_headers()->set_end_of_stream(end);
  return message;
}
inline ProcessingRequest ResponseBody(std::string_view bytes, bool end) {
  ProcessingRequest message;
  message.mutable_response_body()->set_body(std::string(bytes));
  message.mutable_response_body()->set_end_of_stream(end);
  return message;
}
inline ProcessingRequest ResponseTrailers() {
  ProcessingRequest message;
  message.mutable_response_trailers();
  return message;
}
inline google::protobuf::Struct& MetadataIn(ProcessingRequest& message, const std::string& space) {
  return (*message.mutable_metadata_context()->mutable_filter_metadata())[space];
}
// With what Envoy's `response_attributes` add.
inline ProcessingRequest ExplainedHeaders(const HeaderList& list, const std::string& details) {
  ProcessingRequest message = ResponseHeaders(list);
  auto& fields = *(*message.mutable_attributes())["envoy.filters.http.ext_proc"].mutable_fields();
  fields["response.code_details"].set_string_value(details);
  return message;
}

// --- The picker's answers

inline std::string HeaderIn(const HeaderMutation& mutation, std::string_view name) {
  for (const auto& option : mutation.set_headers()) {
    if (option.header().key() == name) return option.header().raw_value();
  }
  return {};
}
inline bool Removes(const HeaderMutation& mutation, std::string_view name) {
  return std::ranges::find(mutation.remove_headers(), name) != mutation.remove_headers().end();
}
inline const HeaderMutation& HeadersOf(const ProcessingResponse& reply) {
  switch (reply.response_case()) {
    case ProcessingResponse::kRequestHeaders:
      return reply.request_headers().response().header_mutation();
    case ProcessingResponse::kResponseHeaders:
      return reply.response_headers().response().header_mutation();
    case ProcessingResponse::kRequestBody:
      return reply.request_body().response().header_mutation();
    case ProcessingResponse::kResponseBody:
      return reply.response_body().response().header_mutation();
    default:
      return reply.immediate_response().headers();
  }
}
// "" if the answer names none.
inline std::string DestinationIn(const ProcessingResponse& reply) {
  return HeaderIn(HeadersOf(reply), kDestination);
}

// --- A stream

// One HTTP request, as Envoy has it. It fails after `patience`.
class EnvoyStream {
 public:
  explicit EnvoyStream(ExternalProcessor::Stub& stub,
                       std::chrono::seconds patience = std::chrono::seconds(20)) {
    context_.set_deadline(std::chrono::system_clock::now() + patience);
    stream_ = stub.Process(&context_);
  }
  ~EnvoyStream() { Cancel(); }

  bool Send(const ProcessingRequest& message) { return stream_->Write(message); }
  // Empty once the stream has ended.
  ProcessingResponse Receive() {
    ProcessingResponse reply;
    if (!stream_->Read(&reply)) reply.Clear();
    return reply;
  }
  // Envoy is done with it.
  grpc::Status Finish() {
    stream_->WritesDone();
    return Status();
  }
  // What the picker has ended it with.
  grpc::Status Status() {
    ProcessingResponse reply;
    while (stream_->Read(&reply)) {
    }
    finished_ = true;
    return stream_->Finish();
  }
  // Its client has gone.
  void Cancel() {
    if (std::exchange(finished_, true)) return;
    context_.TryCancel();
    ProcessingResponse reply;
    while (stream_->Read(&reply)) {
    }
    stream_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<ProcessingRequest, ProcessingResponse>> stream_;
  bool finished_ = false;
};

// --- The picker

// A gateway without a listener of its own, and the picker over it.
struct TestPicker : gateway::TestGateway {
  TestPicker() {
    WaitForOwnSockets();
    // Envoy always reads; gRPC's clients, between their calls, only so often.
    setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "20", 0);
    config.listen = "none";
    config.extproc.listen = "127.0.0.1:0";
    config.extproc.health = "127.0.0.1:0";
    config.extproc.tls = false;
  }
  ~TestPicker() {
    channel.reset();
    if (picker) picker->Stop(0);
    if (gateway) gateway->Stop();
    gateway.reset();
  }

  void StartPicker() {
    TestGateway::Start();
    auto started = PickerServer::Start([this] { return gateway->config(); }, gateway->serving(),
                                       [this] { return gateway->Ready(); }, log);
    if (!started) throw std::runtime_error(started.error().message);
    picker = std::move(*started);
    channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(picker->port()),
                                  grpc::InsecureChannelCredentials());
    stub = ExternalProcessor::NewStub(channel);
  }
  // With one engine.
  void StartWithEngine(double tput = 100) {
    AddEngine("a10");
    AddProfile("a10", tput);
    StartPicker();
  }
  std::string engine(std::size_t index = 0) const { return engines[index]->address().ToString(); }

  std::unique_ptr<PickerServer> picker;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<ExternalProcessor::Stub> stub;
};

}  // namespace headrace::extproc
