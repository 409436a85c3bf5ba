#include "extproc/picked_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "extproc/header_map.h"
#include "openai/api_path.h"
#include "openai/response.h"
#include "serving/request_controls.h"
#include "system/clock.h"
#include "system/inflate.h"
#include "system/url.h"

namespace headrace::extproc {
namespace {

// One of the two, whatever it is that was said.
std::string_view SchemeOf(std::string_view said) {
  if (said == "https") return "https";
  return said == "http" ? "http" : std::string_view();
}

using envoy::config::core::v3::HeaderMap;
using envoy::config::core::v3::Metadata;
using envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
using envoy::service::ext_proc::v3::HeaderMutation;
using envoy::service::ext_proc::v3::ProcessingRequest;
using envoy::service::ext_proc::v3::ProtocolConfiguration;

// How much is unpacked at first, then twice as much each time.
constexpr std::size_t kFirstUnpacked = std::size_t{256} << 10;

PickerContext::BodyMode BodyModeOf(ProcessingMode::BodySendMode mode) {
  using Mode = PickerContext::BodyMode;
  switch (mode) {
    case ProcessingMode::STREAMED:
      return Mode::kStreamed;
    case ProcessingMode::BUFFERED:
      return Mode::kBuffered;
    case ProcessingMode::BUFFERED_PARTIAL:
      return Mode::kBufferedPartial;
    case ProcessingMode::FULL_DUPLEX_STREAMED:
      return Mode::kFullDuplex;
    default:
      return Mode::kNone;
  }
}

ProcessingMode::BodySendMode SendModeOf(PickerContext::BodyMode mode) {
  using Mode = PickerContext::BodyMode;
  switch (mode) {
    case Mode::kNone:
      return ProcessingMode::NONE;
    case Mode::kStreamed:
      return ProcessingMode::STREAMED;
    case Mode::kBuffered:
      return ProcessingMode::BUFFERED;
    case Mode::kBufferedPartial:
      return ProcessingMode::BUFFERED_PARTIAL;
    case Mode::kFullDuplex:
      return ProcessingMode::FULL_DUPLEX_STREAMED;
  }
  return ProcessingMode::NONE;
}

std::string Joined(const std::vector<std::string_view>& pieces) {
  std::string text;
  for (const std::string_view piece : pieces) text += piece;
  return text;
}

// Where Envoy reaches it.
std::string PlaceOf(const serving::EndpointInfo& endpoint) {
  return endpoint.socket ? endpoint.socket->ToString() : endpoint.address;
}

// Those that Envoy's subset offers, if it offers one: a list, or a text with commas.
std::optional<std::vector<std::string>> OfferedEndpoints(const Metadata& metadata) {
  const auto found = metadata.filter_metadata().find("envoy.lb.subset_hint");
  if (found == metadata.filter_metadata().end()) return std::nullopt;
  const auto& fields = found->second.fields();
  const auto subset = fields.find("x-gateway-destination-endpoint-subset");
  if (subset == fields.end()) return std::nullopt;
  std::vector<std::string> offered;
  const auto add = [&offered](std::string_view text) {
    while (!text.empty()) {
      const std::size_t comma = std::min(text.find(','), text.size());
      if (const std::string_view one = Trimmed(text.substr(0, comma)); !one.empty()) {
        offered.emplace_back(one);
      }
      text.remove_prefix(std::min(comma + 1, text.size()));
    }
  };
  add(subset->second.string_value());
  for (const auto& value : subset->second.list_value().values()) add(value.string_value());
  return offered;
}

// Behind blanks, and the mark that some editors put before UTF-8.
bool BeginsAsObject(std::string_view body) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (body.starts_with(kMark)) body.remove_prefix(kMark.size());
  const std::size_t first = body.find_first_not_of(" \t\r\n");
  return first != body.npos && body[first] == '{';
}

}  // namespace

void PickerThread::SetConfig(const config::Config& config) {
  serving.SetConfig(config);
  body_mode = config.extproc.body_mode;
  fallbacks = static_cast<std::size_t>(config.extproc.fallbacks);
  most_body_bytes = config.limits.body;
  most_held_bytes = config.limits.bodies;
  base_path = config.base_path == "/" ? "" : config.base_path;
}

PickedRequest::PickedRequest(const PickerContext& context, PickerThread& thread, Replies& replies)
    : context_(context), thread_(thread), replies_(replies) {}

PickedRequest::~PickedRequest() { ReleaseBody(); }

void PickedRequest::OnMessage(ProcessingRequest& message) {
  if (over_) return;
  if (std::exchange(first_, false)) TakeProtocol(message);
  if (over_) return;
  switch (message.request_case()) {
    case ProcessingRequest::kRequestHeaders:
      OnRequestHeaders(*message.mutable_request_headers(), message.metadata_context());
      break;
    case ProcessingRequest::kRequestBody:
      OnRequestBody(*message.mutable_request_body());
      break;
    case ProcessingRequest::kRequestTrailers:
      OnRequestTrailers();
      break;
    case ProcessingRequest::kResponseHeaders:
      OnResponseHeaders(*message.mutable_response_headers(), message.metadata_context(),
                        message.attributes());
      break;
    case ProcessingRequest::kResponseBody:
      OnResponseBody(message.response_body());
      break;
    case ProcessingRequest::kResponseTrailers:
      OnResponseTrailers();
      break;
    case ProcessingRequest::REQUEST_NOT_SET:
      break;
  }
}

void PickedRequest::TakeProtocol(const ProcessingRequest& message) {
  // Envoy only lets us look; no answer would be heard.
  if (message.observability_mode()) return Close();
  request_mode_ = response_mode_ = thread_.body_mode;
  if (message.has_protocol_config()) {
    const ProtocolConfiguration& protocol = message.protocol_config();
    request_mode_ = BodyModeOf(protocol.request_body_mode());
    response_mode_ = BodyModeOf(protocol.response_body_mode());
    // Then Envoy waits for nothing: the head may be answered after the body.
    streams_at_once_ = protocol.send_body_without_waiting_for_header_response();
  }
  buffered_ = request_mode_ == BodyMode::kBuffered;
}

// --- The request

void PickedRequest::OnRequestHeaders(Headers& headers, const Metadata& metadata) {
  if (request_) return;
  request_headers_.Swap(headers.mutable_headers());
  method_ = RequestHeader(":method");
  TakePath();
  const std::string_view given = RequestHeader("x-request-id");
  request_id_ = serving::UsableRequestId(given) ? std::string(given) : thread_.serving.ids.Next();
  request_.emplace(context_.serving, thread_.serving, thread_.serving.executor.Now(), request_id_);
  request_->SentOnlyOnce();
  if (thread_.serving.traces) {
    request_->StartTrace(JoinedValues(request_headers_, "traceparent"),
                         JoinedValues(request_headers_, "tracestate"));
  }
  if (response_mode_ == BodyMode::kNone) request_->WillBeUnread();
  request_->WantFallbacks(thread_.fallbacks);
  if (auto offered = OfferedEndpoints(metadata)) request_->LimitTo(*std::move(offered));
  request_->exchange() = {
      .scheme = SchemeOf(RequestHeader(":scheme")), .method = method_, .path = path_};
  if (headers.end_of_stream()) {
    request_whole_ = true;
    return Decide();
  }
  if (MayAnswerAfterBody()) return;
  // Envoy sends no body before this is answered.
  headers_answered_ = true;
  Reply& reply = NewReply();
  reply.mutable_request_headers()->mutable_response();
  if (request_mode_ == BodyMode::kNone || request_mode_ == BodyMode::kStreamed) {
    // The body must be read before Envoy chooses an endpoint.
    reply.mutable_mode_override()->set_request_body_mode(ProcessingMode::BUFFERED);
    reply.mutable_mode_override()->set_response_body_mode(SendModeOf(response_mode_));
    request_mode_ = BodyMode::kBuffered;
  }
  replies_.Send(reply);
}

bool PickedRequest::MayAnswerAfterBody() const {
  return request_mode_ == BodyMode::kFullDuplex ||
         (request_mode_ == BodyMode::kStreamed && streams_at_once_);
}

void PickedRequest::OnRequestBody(Body& body) {
  // Envoy may send the end of a long body twice (its issue 46237).
  if (!request_ || request_whole_) return;
  ++body_messages_;
  if (body_.size() + body.body().size() > thread_.most_body_bytes) {
    return RefuseInvalid(413, "The request's body is too large.");
  }
  if (!HoldBody(body.body().size())) {
    return RefuseInvalid(503, "There is no memory for the request's body now.");
  }
  if (body_.empty()) {
    body_.swap(*body.mutable_body());
  } else {
    body_ += body.body();
  }
  // Before trailers, one that was buffered is not marked as the end.
  if (body.end_of_stream() || buffered_) {
    request_whole_ = true;
    return Decide();
  }
  if (headers_answered_) {
    RefuseInvalid(500,
                  "Envoy sends the request's body in parts and chooses an endpoint before the "
                  "first; give its ext_proc filter request_body_mode: FULL_DUPLEX_STREAMED "
                  "or BUFFERED.");
  }
}

void PickedRequest::OnRequestTrailers() {
  if (!request_) return SendTrailers(false);
  if (request_whole_) return SendTrailers(false);
  request_whole_ = request_trailers_ = true;
  Decide();
}

void PickedRequest::SendTrailers(bool response) {
  Reply& reply = NewReply();
  if (response) {
    reply.mutable_response_trailers();
  } else {
    reply.mutable_request_trailers();
  }
  replies_.Send(reply);
}

void PickedRequest::Decide() {
  request_->exchange().received = body_.size();
  if (const auto scanned = Scan(); !scanned) return Refuse(scanned.error());
  deadline_ = thread_.serving.executor.MakeAlarm([this] { Refuse(request_->TimeOut()); });
  deadline_->Set(request_->deadline());
  request_->Arrive([this](serving::ServedRequest::Routed route) { OnRoute(std::move(route)); });
}

tl::expected<void, serving::ErrorReply> PickedRequest::Scan() {
  const auto header = [this](std::string_view name) { return RequestHeader(name); };
  if (!response_id_.empty()) return request_->FindResponse(response_id_, header);
  // What names no model goes to the only pool there is.
  if (model_in_path_.empty()) {
    const serving::PoolList pools = context_.serving.pools.list();
    if (pools.size() == 1) model_in_path_ = pools.front()->name();
  }
  request_->SetModelInPath(model_in_path_);
  if (auto unpacked = Unpack(); !unpacked) return unpacked;
  const std::string_view type = RequestHeader("content-type");
  // What begins as an object of JSON may name a model, whatever its type says.
  const bool unread = kind_ == openai::ApiKind::kOther && !form_ && !type.empty() &&
                      type.find("json") == type.npos && !BeginsAsObject(body_);
  if (body_.empty() ? method_ != "POST" : unread) {
    return request_->TakeFacts(openai::ApiKind::kOther, openai::RequestFacts(), body_.size(),
                               header);
  }
  if (!form_) return request_->Scan(kind_, body_, header);
  return request_->TakeFacts(kind_, openai::RequestScanner::ScanForm(type, body_), body_.size(),
                             header);
}

// A body that is gzip or zlib ("deflate"), within the limits that hold for any body.
tl::expected<void, serving::ErrorReply> PickedRequest::Unpack() {
  const std::string_view coding = RequestHeader("content-encoding");
  if (coding.empty() || coding == "identity" || body_.empty()) return {};
  if (coding != "gzip" && coding != "x-gzip" && coding != "deflate") {
    serving::ErrorReply reply =
        Invalid(415, "A body that is coded as '" + Excerpt(coding) +
                         "' cannot be read; send it as it is, or as gzip or deflate.");
    reply.headers.emplace_back("accept-encoding", "gzip, deflate");
    return tl::unexpected(std::move(reply));
  }
  using Result = system::Unpacker::Result;
  std::string unpacked;
  system::Unpacker unpacker(body_);
  Result result = Result::kFull;
  std::size_t room = 0;
  while (result == Result::kFull) {
    const std::size_t next =
        std::min(std::max(kFirstUnpacked, 2 * room), thread_.most_body_bytes + 1);
    if (!HoldBody(next - room)) {
      return tl::unexpected(Invalid(503, "There is no memory for the request's body now."));
    }
    room = next;
    result = unpacker.UnpackTo(room, unpacked);
    if (unpacked.size() > thread_.most_body_bytes) {
      return tl::unexpected(Invalid(413, "The request's body is too large once it is unpacked."));
    }
  }
  if (result == Result::kBroken) {
    return tl::unexpected(Invalid(400,
                                  "The request's body is not whole gzip or zlib data, as its "
                                  "content-encoding says it is."));
  }
  body_ = std::move(unpacked);
  context_.held_bytes.fetch_sub(held_ - body_.size());
  held_ = body_.size();
  unpacked_ = true;
  return {};
}

serving::ErrorReply PickedRequest::Invalid(int status, std::string message) {
  serving::ErrorReply reply = serving::MakeErrorReply(
      openai::MakeApiError(status, std::move(message)), "x-error-request-body-processing");
  if (status == 503) reply.headers.emplace_back("retry-after", "1");
  return request_->Invalid(std::move(reply));
}

void PickedRequest::RefuseInvalid(int status, std::string message) {
  Refuse(Invalid(status, std::move(message)));
}

void PickedRequest::OnRoute(serving::ServedRequest::Routed route) {
  if (over_) return;
  if (!route) return Refuse(route.error());
  routed_ = true;
  SendRequest(**route);
  ReleaseBody();
}

// Head, body and trailers, as far as they have not been answered.
void PickedRequest::SendRequest(const serving::EndpointInfo& endpoint) {
  if (!headers_answered_) {
    Reply& reply = NewReply();
    SetDestination(endpoint, reply, *reply.mutable_request_headers()->mutable_response());
    replies_.Send(reply);
  }
  const std::vector<std::string_view> pieces = request_->BodyToSend(body_);
  const bool edited = unpacked_ || pieces.size() > 1;
  if (request_mode_ == BodyMode::kFullDuplex) {
    if (body_messages_ > 0) SendInChunks(pieces, !request_trailers_);
  } else {
    // One answer for each message; what is edited goes with the last.
    for (int i = 1; i <= body_messages_; ++i) {
      const bool last = i == body_messages_;
      Reply& reply = NewReply();
      Common& common = *reply.mutable_request_body()->mutable_response();
      if (last && headers_answered_) {
        SetDestination(endpoint, reply, common);
        if (edited && !RequestHeader("content-length").empty()) {
          std::size_t size = 0;
          for (const std::string_view piece : pieces) size += piece.size();
          SetHeader("content-length", std::to_string(size), *common.mutable_header_mutation());
        }
      }
      if (edited && last) {
        *common.mutable_body_mutation()->mutable_body() = Joined(pieces);
      } else if (edited) {
        common.mutable_body_mutation()->set_clear_body(true);
      }
      replies_.Send(reply);
    }
  }
  if (request_trailers_) SendTrailers(false);
}

void PickedRequest::SendInChunks(const std::vector<std::string_view>& pieces, bool end) {
  Reply* reply = nullptr;
  std::string* chunk = nullptr;
  const auto begin = [&] {
    reply = &NewReply();
    auto& streamed = *reply->mutable_request_body()
                          ->mutable_response()
                          ->mutable_body_mutation()
                          ->mutable_streamed_response();
    chunk = streamed.mutable_body();
  };
  begin();
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      if (chunk->size() == kMostChunkBytes) {
        replies_.Send(*reply);
        begin();
      }
      const std::string_view part = piece.substr(0, kMostChunkBytes - chunk->size());
      chunk->append(part);
      piece.remove_prefix(part.size());
    }
  }
  reply->mutable_request_body()
      ->mutable_response()
      ->mutable_body_mutation()
      ->mutable_streamed_response()
      ->set_end_of_stream(end);
  replies_.Send(*reply);
}

void PickedRequest::SetDestination(const serving::EndpointInfo& endpoint, Reply& reply,
                                   Common& common) {
  std::string places = PlaceOf(endpoint);
  for (const auto& other : request_->fallbacks()) places += "," + PlaceOf(*other);
  auto& fields = *(*reply.mutable_dynamic_metadata()->mutable_fields())[kLoadBalancing]
                      .mutable_struct_value()
                      ->mutable_fields();
  fields[kDestination].set_string_value(places);
  common.set_clear_route_cache(true);
  HeaderMutation& mutation = *common.mutable_header_mutation();
  SetHeader(kDestination, places, mutation);
  if (RequestHeader("x-request-id") != request_id_) {
    SetHeader("x-request-id", request_id_, mutation);
  }
  if (const auto trace = request_->TraceToSend()) {
    SetHeader("traceparent", trace->TraceParent(), mutation);
    if (!trace->state.empty()) {
      SetHeader("tracestate", trace->state, mutation);
    } else if (!RequestHeader("tracestate").empty()) {
      mutation.add_remove_headers("tracestate");
    }
  }
  if (!target_.empty()) SetHeader(":path", target_, mutation);
  if (unpacked_) mutation.add_remove_headers("content-encoding");
  // The response must be readable on its way. Without the header any coding would do.
  if (response_mode_ != BodyMode::kNone) SetHeader("accept-encoding", "identity", mutation);
  for (const std::string_view control : serving::kControlHeaders) {
    if (!RequestHeader(control).empty()) mutation.add_remove_headers(std::string(control));
  }
  for (const std::string_view key : serving::kKeyHeaders) {
    const bool goes = request_->keeps_key() && !RequestHeader(key).empty();
    if (goes) mutation.add_remove_headers(std::string(key));
  }
}

void PickedRequest::Refuse(const serving::ErrorReply& refusal) {
  if (over_) return;
  Reply& reply = NewReply();
  auto& immediate = *reply.mutable_immediate_response();
  immediate.mutable_status()->set_code(refusal.error.status);
  HeaderMutation& headers = *immediate.mutable_headers();
  for (const auto& [name, value] : refusal.headers) SetHeader(name, value, headers);
  SetHeader("content-type", "application/json", headers);
  SetHeader("request-id", request_id_, headers);
  SetHeader("x-request-id", request_id_, headers);
  immediate.set_body(openai::ErrorBody(kind_, refusal.error));
  immediate.set_details("headrace_" + refusal.error.code);
  request_->exchange().status = refusal.error.status;
  request_->exchange().sent = immediate.body().size();
  replies_.Send(reply);
  over_ = true;
  if (deadline_ != nullptr) deadline_->Set(kNever);
  ReleaseBody();
}

void PickedRequest::Close(std::string_view error) {
  over_ = true;
  replies_.Close(error);
}

// What clients call differently from engines: the configured base path, and Azure's forms. Other
// paths are Envoy's to allow, and stay as they are.
void PickedRequest::TakePath() {
  const std::string_view whole = RequestHeader(":path");
  const std::size_t query = std::min(whole.find('?'), whole.size());
  const std::string_view given = whole.substr(0, query);
  std::string path = openai::PlainPath(given, thread_.base_path);
  constexpr std::string_view kDeployments = "/openai/deployments/";
  if (path.starts_with(kDeployments)) {
    const std::string rest = path.substr(kDeployments.size());
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    model_in_path_ = system::PercentDecoded(rest.substr(0, slash));
    path = "/v1" + rest.substr(slash);
  }
  // Engines decode a path before they look it up.
  if (std::string decoded = system::PercentDecoded(path); openai::FindApiPath(decoded) != nullptr) {
    path = std::move(decoded);
  }
  constexpr std::string_view kResponses = "/v1/responses/";
  const openai::ApiPath* const api = openai::FindApiPath(path);
  if (api != nullptr) {
    kind_ = api->kind;
    form_ = api->form;
  } else if (path.starts_with(kResponses)) {
    const std::string id = path.substr(kResponses.size());
    response_id_ = system::PercentDecoded(id.substr(0, id.find('/')));
  } else {
    path_ = given;
    return;
  }
  path_ = std::move(path);
  if (path_ != given) target_ = path_ + std::string(whole.substr(query));
}

std::string_view PickedRequest::RequestHeader(std::string_view name) const {
  return ValueOf(request_headers_, name);
}

// The bytes count for all requests together until the request has its endpoint.
bool PickedRequest::HoldBody(std::size_t bytes) {
  held_ += bytes;
  return context_.held_bytes.fetch_add(bytes) + bytes <= thread_.most_held_bytes;
}

void PickedRequest::ReleaseBody() {
  context_.held_bytes.fetch_sub(std::exchange(held_, 0));
  std::string().swap(body_);
}

PickedRequest::Reply& PickedRequest::NewReply() const {
  thread_.reply.Clear();
  return thread_.reply;
}

}  // namespace headrace::extproc
