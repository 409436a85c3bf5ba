// What comes back from the engine.
#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "extproc/header_map.h"
#include "extproc/picked_request.h"

namespace headrace::extproc {
namespace {

using envoy::config::core::v3::Metadata;
using envoy::service::ext_proc::v3::HeaderMutation;

// Of the endpoint that Envoy's response comes from, after its retries; "" if it does not say.
std::string_view ServedEndpoint(const Metadata& metadata) {
  const auto found = metadata.filter_metadata().find(kLoadBalancing);
  if (found == metadata.filter_metadata().end()) return {};
  const auto& fields = found->second.fields();
  const auto served = fields.find("x-gateway-destination-endpoint-served");
  return served == fields.end() ? std::string_view() : served->second.string_value();
}

// How Envoy came to the response ("via_upstream": an engine sent it); "" if it does not say.
std::string ResponseDetails(
    const google::protobuf::Map<std::string, google::protobuf::Struct>& attributes) {
  for (const auto& [filter, its] : attributes) {
    const auto details = its.fields().find("response.code_details");
    if (details != its.fields().end()) return details->second.string_value();
  }
  return {};
}

// What an engine did wrong, that Envoy answers in its place with these details.
struct EnvoysAccount {
  fleet::EngineFault fault{};
  std::string_view why;
};
std::optional<EnvoysAccount> FaultIn(std::string_view details) {
  using enum fleet::EngineFault;
  static constexpr std::pair<std::string_view, EnvoysAccount> kAccounts[] = {
      {"connection_failure", {kConnect, "Envoy could not connect to it"}},
      {"connection_timeout", {kConnect, "Envoy could not connect to it in time"}},
      {"no_healthy_upstream", {kConnect, "Envoy knows no engine that is well"}},
      {"protocol_error", {kGarbled, "Envoy could not read its answer"}},
      {"timeout", {kTimeout, "Envoy's time for it was over"}},
      {"overflow", {}},  // Of Envoy's own limits.
      {"upstream_reset", {kClosed, "it closed Envoy's connection before it answered"}}};
  for (const auto& [part, account] : kAccounts) {
    if (details.find(part) == details.npos) continue;
    return account.why.empty() ? std::nullopt : std::optional(account);
  }
  return std::nullopt;
}

int NumberIn(std::string_view text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

bool SameText(const std::vector<std::string_view>& pieces, std::string_view text) {
  for (const std::string_view piece : pieces) {
    if (!text.starts_with(piece)) return false;
    text.remove_prefix(piece.size());
  }
  return text.empty();
}

}  // namespace

void PickedRequest::OnResponseHeaders(Headers& headers, const Metadata& metadata,
                                      const Attributes& attributes) {
  if (std::exchange(response_begun_, true)) return;
  response_headers_.Swap(headers.mutable_headers());
  if (!routed_) {
    // Unless Envoy was not willing to hold the body, or the client did not send it.
    const int status = NumberIn(ValueOf(response_headers_, ":status"));
    if (headers_answered_ && !request_whole_ && status != 413 && status != 408) {
      context_.faults.Raise(telemetry::LogLevel::kWarning, "Envoy's ext_proc filter",
                            "Envoy sends no bodies of requests, so no endpoint is picked for them; "
                            "set its request_body_mode to FULL_DUPLEX_STREAMED",
                            thread_.serving.executor.Now());
    }
    Abandon();
    return SendResponseHead();
  }
  if (const auto served = ServedEndpoint(metadata); !served.empty()) request_->ServedBy(served);
  if (const std::string details = ResponseDetails(attributes);
      !details.empty() && details != "via_upstream") {
    if (!EnvoyAnswers(details)) SendResponseHead();
    return;
  }
  const auto header = [this](std::string_view name) { return ValueOf(response_headers_, name); };
  request_->ResponseHead({.status = NumberIn(header(":status")),
                          .content_type = header("content-type"),
                          .content_encoding = header("content-encoding"),
                          .retry_after = static_cast<Seconds>(NumberIn(header("retry-after")))});
  if (headers.end_of_stream()) {
    if (EndResponse()) SendResponseHead();
    return;
  }
  // An error in a whole answer is known, and makes the status, when its body is read.
  const bool status_follows = response_mode_ == BodyMode::kFullDuplex && !request_->event_stream();
  if (!status_follows) SendResponseHead();
}

bool PickedRequest::EnvoyAnswers(const std::string& details) {
  if (const auto account = FaultIn(details)) {
    if (const auto failure = request_->EndpointFailed(account->fault, account->why)) {
      Refuse(*failure);
      return true;
    }
  }
  Abandon();
  routed_ = false;
  return false;
}

// Envoy has answered the request without an endpoint: none is wanted any more.
void PickedRequest::Abandon() {
  if (!request_) return;
  request_->Cancel();
  request_whole_ = true;
  if (deadline_ != nullptr) deadline_->Set(kNever);
  ReleaseBody();
}

void PickedRequest::SendResponseHead() {
  if (std::exchange(response_head_answered_, true)) return;
  Reply& reply = NewReply();
  Common& common = *reply.mutable_response_headers()->mutable_response();
  if (routed_) AddResponseHeaders(*common.mutable_header_mutation());
  replies_.Send(reply);
}

void PickedRequest::AddResponseHeaders(HeaderMutation& mutation) {
  SetStatus(mutation);
  const auto remove = [&](std::span<const std::string_view> names) {
    for (const std::string_view name : names) {
      if (!ValueOf(response_headers_, name).empty()) {
        mutation.add_remove_headers(name.data(), name.size());
      }
    }
  };
  remove(serving::kOwnResponseHeaders);
  if (request_->keeps_key()) remove(serving::kLimitHeaders);
  // Proxies on the way would otherwise keep a stream until it is long.
  if (request_->event_stream() && ValueOf(response_headers_, "x-accel-buffering").empty()) {
    SetHeader("x-accel-buffering", "no", mutation);
  }
  SetHeader("request-id", request_id_, mutation);
  SetHeader("x-request-id", request_id_, mutation);
  request_->AddResponseHeaders([&mutation](std::string_view name, std::string_view value) {
    SetHeader(name, value, mutation);
  });
}

// If the body says another one than the head.
void PickedRequest::SetStatus(HeaderMutation& mutation) {
  const int status = request_->response_status();
  request_->exchange().status = status;
  if (status == NumberIn(ValueOf(response_headers_, ":status"))) return;
  SetHeader(":status", std::to_string(status), mutation);
}

void PickedRequest::OnResponseBody(const Body& body) {
  if (response_whole_) return;
  // Before trailers, one that was buffered is not marked as the end.
  response_whole_ = body.end_of_stream() || response_mode_ == BodyMode::kBuffered;
  forward_.clear();
  if (routed_) {
    request_->ResponseBytes(body.body(), thread_.serving.executor.Now(), forward_);
    if (response_whole_ && !EndResponse()) return;
    for (const std::string_view piece : forward_) request_->exchange().sent += piece.size();
  } else {
    forward_.push_back(body.body());
  }
  if (response_mode_ == BodyMode::kFullDuplex) {
    if (!forward_.empty() || response_whole_) SendResponseHead();
    StreamResponse(response_whole_);
  } else {
    AnswerResponseBody(body.body());
  }
}

// One answer for one message.
void PickedRequest::AnswerResponseBody(std::string_view original) {
  Reply& reply = NewReply();
  Common& common = *reply.mutable_response_body()->mutable_response();
  if (!SameText(forward_, original)) {
    std::string text;
    for (const std::string_view piece : forward_) text += piece;
    const bool buffered = response_mode_ != BodyMode::kStreamed;
    if (buffered && !ValueOf(response_headers_, "content-length").empty()) {
      SetHeader("content-length", std::to_string(text.size()), *common.mutable_header_mutation());
    }
    if (text.empty()) {
      common.mutable_body_mutation()->set_clear_body(true);
    } else {
      *common.mutable_body_mutation()->mutable_body() = std::move(text);
    }
  }
  // The head has not left yet where the whole body was waited for.
  if (routed_ && response_mode_ == BodyMode::kBuffered) {
    SetStatus(*common.mutable_header_mutation());
  }
  replies_.Send(reply);
}

// While messages are on their way, what comes is gathered, so that a fast stream costs fewer.
void PickedRequest::StreamResponse(bool last) {
  for (const std::string_view piece : forward_) gathered_ += piece;
  last_gathered_ = last_gathered_ || last;
  if (!replies_.busy()) SendGathered();
}

void PickedRequest::SendGathered() {
  std::string_view rest = gathered_;
  while (!rest.empty() || last_gathered_) {
    const std::string_view chunk = rest.substr(0, kMostChunkBytes);
    rest.remove_prefix(chunk.size());
    const bool end = rest.empty() && std::exchange(last_gathered_, false);
    Reply& reply = NewReply();
    auto& streamed = *reply.mutable_response_body()
                          ->mutable_response()
                          ->mutable_body_mutation()
                          ->mutable_streamed_response();
    streamed.set_body(chunk.data(), chunk.size());
    streamed.set_end_of_stream(end);
    replies_.Send(reply);
    if (end) break;
  }
  gathered_.clear();
}

void PickedRequest::OnSent() {
  if (!over_) SendGathered();
}

void PickedRequest::OnResponseTrailers() {
  if (!std::exchange(response_whole_, true)) {
    forward_.clear();
    if (routed_ && !EndResponse()) return;
    SendResponseHead();
    // What the parser held back, and without an end: that is the trailers.
    if (response_mode_ == BodyMode::kFullDuplex) {
      for (const std::string_view piece : forward_) gathered_ += piece;
      SendGathered();
    }
  }
  SendTrailers(true);
}

bool PickedRequest::EndResponse() {
  const auto failure = request_->ResponseEnd(thread_.serving.executor.Now(), forward_);
  if (deadline_ != nullptr) deadline_->Set(kNever);
  if (!failure) return true;
  if (!response_head_answered_ || response_mode_ == BodyMode::kBuffered) {
    Refuse(*failure);
    return false;
  }
  if (!request_->event_stream()) {
    Close(failure->error.message);
    return false;
  }
  // The status was sent long ago: the error goes into the stream, which then ends without its end
  // mark.
  error_event_ = request_->ErrorEvent(*failure);
  forward_.push_back(error_event_);
  return true;
}

void PickedRequest::OnClosed() {
  over_ = true;
  if (!request_) return;
  // Where Envoy does not show responses, it ends the stream with them.
  if (routed_ && response_begun_ && response_mode_ == BodyMode::kNone) {
    request_->EndUnread(thread_.serving.executor.Now());
  } else {
    request_->Cancel();
  }
}

}  // namespace headrace::extproc
