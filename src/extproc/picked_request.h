// One HTTP request that Envoy carries: what is said about it on its stream, message by message.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "envoy/service/ext_proc/v3/external_processor.pb.h"
#include "extproc/picker_thread.h"
#include "serving/served_request.h"

namespace headrace::extproc {

// Where the answers go: one stream.
class Replies {
 public:
  virtual ~Replies() = default;
  // In the order of the calls. `reply` may be used again at once.
  virtual void Send(const envoy::service::ext_proc::v3::ProcessingResponse& reply) = 0;
  // Not everything that was sent has left; OnSent follows when it has.
  virtual bool busy() const = 0;
  // Ends the stream: Envoy goes on without, or (`error`) fails the request.
  virtual void Close(std::string_view error = {}) = 0;
};

// What it means is decided in serving::ServedRequest; this moves bytes and headers between it and
// Envoy. All calls are made on the thread's executor.
class PickedRequest {
 public:
  // What is passed in must outlive it.
  PickedRequest(const PickerContext& context, PickerThread& thread, Replies& replies);
  ~PickedRequest();
  PickedRequest(const PickedRequest&) = delete;
  PickedRequest& operator=(const PickedRequest&) = delete;

  // `message` may lose its contents.
  void OnMessage(envoy::service::ext_proc::v3::ProcessingRequest& message);
  // What was sent has left.
  void OnSent();
  // Envoy has ended the stream.
  void OnClosed();

 private:
  using BodyMode = PickerContext::BodyMode;
  using Reply = envoy::service::ext_proc::v3::ProcessingResponse;
  using Common = envoy::service::ext_proc::v3::CommonResponse;
  using Headers = envoy::service::ext_proc::v3::HttpHeaders;
  using Body = envoy::service::ext_proc::v3::HttpBody;
  using Metadata = envoy::config::core::v3::Metadata;
  using Attributes = google::protobuf::Map<std::string, google::protobuf::Struct>;
  using Mutation = envoy::service::ext_proc::v3::HeaderMutation;

  // Longer bodies are sent in several messages.
  static constexpr std::size_t kMostChunkBytes = std::size_t{64} << 10;

  void TakeProtocol(const envoy::service::ext_proc::v3::ProcessingRequest& message);
  Reply& NewReply() const;
  void SendTrailers(bool response);
  void Refuse(const serving::ErrorReply& refusal);
  void Close(std::string_view error = {});

  // --- The request
  void OnRequestHeaders(Headers& headers, const Metadata& metadata);
  void TakePath();
  bool MayAnswerAfterBody() const;
  void OnRequestBody(Body& body);
  void OnRequestTrailers();
  // It is whole: finds its endpoint, or the reply.
  void Decide();
  tl::expected<void, serving::ErrorReply> Scan();
  tl::expected<void, serving::ErrorReply> Unpack();
  serving::ErrorReply Invalid(int status, std::string message);
  void RefuseInvalid(int status, std::string message);
  void OnRoute(serving::ServedRequest::Routed route);
  void SendRequest(const serving::EndpointInfo& endpoint);
  void SendInChunks(const std::vector<std::string_view>& pieces, bool end);
  void SetDestination(const serving::EndpointInfo& endpoint, Reply& reply, Common& common);
  std::string_view RequestHeader(std::string_view name) const;
  bool HoldBody(std::size_t bytes);
  void ReleaseBody();

  // --- The response
  void OnResponseHeaders(Headers& headers, const Metadata& metadata, const Attributes& attributes);
  // The response is Envoy's own, with these details. True: it has been replaced.
  bool EnvoyAnswers(const std::string& details);
  void Abandon();
  void SendResponseHead();
  void AddResponseHeaders(Mutation& mutation);
  void SetStatus(Mutation& mutation);
  void OnResponseBody(const Body& body);
  void OnResponseTrailers();
  // What ServedRequest says at its end; false: the stream is over.
  bool EndResponse();
  void AnswerResponseBody(std::string_view original);
  void StreamResponse(bool last);
  void SendGathered();

  const PickerContext& context_;
  PickerThread& thread_;
  Replies& replies_;
  BodyMode request_mode_ = BodyMode::kNone;
  BodyMode response_mode_ = BodyMode::kNone;
  bool buffered_ = false;         // The request's body comes in one message, whatever follows it.
  bool streams_at_once_ = false;  // A streamed body does not wait for the head's answer.
  bool first_ = true;             // Message.
  bool over_ = false;             // Nothing more is said on the stream.
  std::unique_ptr<serving::Alarm> deadline_;

  // The request:
  envoy::config::core::v3::HeaderMap request_headers_;
  std::string request_id_;
  std::string method_;
  std::string path_;           // As engines know it, without its query.
  std::string target_;         // With it; empty: as the client wrote it.
  std::string model_in_path_;  // "": none.
  std::string response_id_;    // Of the response that it is about.
  openai::ApiKind kind_ = openai::ApiKind::kOther;
  bool form_ = false;
  std::string body_;
  std::size_t held_ = 0;  // Bytes that count for it.
  bool unpacked_ = false;
  int body_messages_ = 0;
  bool headers_answered_ = false;
  bool request_whole_ = false;
  bool request_trailers_ = false;                  // They ended it.
  std::optional<serving::ServedRequest> request_;  // Holds views of these.
  bool routed_ = false;

  // The response:
  envoy::config::core::v3::HeaderMap response_headers_;
  bool response_begun_ = false;
  bool response_head_answered_ = false;
  bool response_whole_ = false;
  std::vector<std::string_view> forward_;
  std::string error_event_;
  std::string gathered_;        // What is to be sent of its body, …
  bool last_gathered_ = false;  // … and its end.
};

}  // namespace headrace::extproc
