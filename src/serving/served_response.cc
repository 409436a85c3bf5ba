// A request's response, from its head to its end.
#include <algorithm>
#include <utility>

#include "serving/served_request.h"

namespace headrace::serving {
namespace {

// Of an error that says which field it is about.
constexpr std::size_t kMostRefusalBytes = std::size_t{64} << 10;

constexpr std::string_view kEventStreamType = "text/event-stream";

// ASCII, any case.
bool SameText(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// What an endpoint that answers with this status did wrong; nullopt: nothing, the request is. 501
// says that this engine has no such thing (embeddings, of a chat model).
std::optional<fleet::EngineFault> FaultOf(int status) {
  if (status == 429 || status == 503) return fleet::EngineFault::kBusy;
  if (status == 408 || (status >= 500 && status != 501)) return fleet::EngineFault::kStatus;
  return std::nullopt;
}

}  // namespace

std::optional<fleet::EngineFault> ServedRequest::FaultToRetry(int status) {
  const bool retried = status == 429 || (status >= 502 && status <= 504);
  return retried ? FaultOf(status) : std::nullopt;
}

std::vector<std::string_view> ServedRequest::BodyToSend(std::string_view body) const {
  if (body.empty()) return {};
  const openai::BodySplice* first = asks_for_usage_ ? &*facts_.ask_for_usage : nullptr;
  const openai::BodySplice* second = name_model_ ? &*name_model_ : nullptr;
  if (first != nullptr && second != nullptr && second->offset < first->offset) {
    std::swap(first, second);
  }
  std::vector<std::string_view> pieces;
  std::size_t at = 0;
  for (const openai::BodySplice* splice : {first, second}) {
    if (splice == nullptr) continue;
    pieces.push_back(body.substr(at, splice->offset - at));
    pieces.push_back(splice->insert);
    at = splice->offset + splice->erase;
  }
  pieces.push_back(body.substr(at));
  return pieces;
}

void ServedRequest::ResponseHead(const EngineHead& head) {
  using Form = openai::ResponseStreamParser::Form;
  status_ = head.status;
  retry_after_ = head.retry_after;
  // Errors need no reading. What is compressed can't be read: engines are asked not to.
  const bool readable = head.status / 100 == 2 && (head.content_encoding.empty() ||
                                                   SameText(head.content_encoding, "identity"));
  event_stream_ =
      readable && SameText(head.content_type.substr(0, kEventStreamType.size()), kEventStreamType);
  // A response that is not a stream has no first token before its end.
  if (event_stream_ && !ended_) {
    progress_.emplace(thread_.progress, pool_->router(), routed_->id());
  }
  if (readable && kind_ != openai::ApiKind::kOther) {
    parser_.emplace(kind_, event_stream_ ? Form::kEventStream : Form::kJson, asks_for_usage_,
                    facts_.choices);
    if (refused_usage_) pool_->router().RefusesStreamOptions(*endpoint_);
  }
  may_refuse_usage_ = asks_for_usage_ && (head.status == 400 || head.status == 422);
  held_.clear();
}

int ServedRequest::response_status() const {
  const int error = event_stream_ ? 0 : ErrorStatus();
  return error != 0 ? error : status_;
}

void ServedRequest::ResponseBytes(std::string_view bytes, Seconds now,
                                  std::vector<std::string_view>& forward) {
  if (parser_) {
    parser_->Feed(bytes, forward);
  } else if (may_refuse_usage_) {
    held_.append(bytes);
    may_refuse_usage_ = held_.size() <= kMostRefusalBytes;
    if (!may_refuse_usage_) forward.push_back(held_);
  } else if (!bytes.empty()) {
    forward.push_back(bytes);
  }
  if (!answering_ && !forward.empty()) {
    answering_ = true;
    GiveBackRetry();
  }
  if (parser_ && !noted_response_ && !parser_->response_id().empty()) {
    noted_response_ = true;
    if (context_.responses != nullptr) {
      context_.responses->Note(parser_->response_id(),
                               {.pool = pool_->name(),
                                .endpoint = endpoint_,
                                .model = facts_.model,
                                .tenant = key_ ? key_->Tenant() : std::string()},
                               now);
    }
  }
  if (!parser_ || !parser_->first_token()) return;
  if (first_token_at_ == 0) {
    first_token_at_ = now;
    finished_.first_token = now - finished_.arrived;
  }
  if (progress_) {
    const auto deltas = static_cast<Tokens>(parser_->deltas());
    progress_->Generated(std::max(1, deltas / std::max(1, facts_.choices)));
  }
}

std::optional<ErrorReply> ServedRequest::ResponseEnd(Seconds now,
                                                     std::vector<std::string_view>& forward) {
  const std::size_t whole = forward.size();
  if (parser_) parser_->Finish(forward);
  if (ended_) return std::nullopt;
  if (std::exchange(may_refuse_usage_, false)) {
    if (held_.find("stream_options") != held_.npos || held_.find("include_usage") != held_.npos) {
      if (!once_) {
        SendAgainAsItCame();
        return std::nullopt;
      }
      pool_->router().RefusesStreamOptions(*endpoint_);  // The next one is sent as it came.
    }
    if (!held_.empty()) forward.push_back(held_);
  }
  const int error = ErrorStatus();
  if (error == 0 && parser_ && !parser_->complete()) {
    // What was held back is a piece of an event. Of anything else nothing can be added to the last
    // bytes, so the client must not take them for the end.
    forward.resize(event_stream_ ? whole : 0);
    return EndpointFailed(answering_ ? fleet::EngineFault::kCut : fleet::EngineFault::kClosed,
                          "the response ended before its end");
  }
  const bool in_body = status_ < 400 && error != 0;
  finished_.fault = FaultOf(error);
  if (in_body && finished_.fault == fleet::EngineFault::kStatus) {
    finished_.fault = fleet::EngineFault::kErrorInBody;
  }
  End(error == 0        ? telemetry::Outcome::kCompleted
      : finished_.fault ? telemetry::Outcome::kEngineError
                        : telemetry::Outcome::kClientError);
  NoteLatency(now);
  Learn(now);
  // An error in a form that clients know, or that is the whole response, has told them itself.
  if (!in_body || !event_stream_ || parser_->error()->understood) return std::nullopt;
  return DescribeFault(fleet::EngineFault::kErrorInBody, "it sent an error in its response");
}

void ServedRequest::EndUnread(Seconds now) {
  parser_.reset();
  may_refuse_usage_ = false;
  finished_.unread = true;
  std::vector<std::string_view> nothing;
  ResponseEnd(now, nothing);
}

void ServedRequest::SendAgainAsItCame() {
  asks_for_usage_ = false;
  refused_usage_ = true;
  dispatched_at_ = thread_.executor.Now();
  status_ = 0;
  on_route_(endpoint_);
}

std::string ServedRequest::ErrorEvent(const ErrorReply& reply) const {
  return openai::ErrorEvent(kind_, reply.error, parser_ ? parser_->events() : 0);
}

int ServedRequest::ErrorStatus() const {
  if (parser_ && parser_->error()) return parser_->error()->status;
  return status_ >= 400 ? status_ : 0;
}

void ServedRequest::NoteLatency(Seconds now) {
  slo::RequestLatency& latency = finished_.latency;
  latency.e2e = now - finished_.arrived;
  if (event_stream_ && first_token_at_ > 0) latency.ttft = first_token_at_ - finished_.arrived;
  latency.prompt_tokens = routed_->arrival().prompt_tokens;
  if (!parser_) return;
  const auto& usage = parser_->usage();
  if (usage && Credible(*usage)) {
    latency.prompt_tokens = usage->prompt_tokens;
    latency.output_tokens = usage->completion_tokens;
    finished_.counted = true;
  } else if (event_stream_) {
    latency.output_tokens =
        static_cast<Tokens>(std::min<std::uint64_t>(parser_->deltas(), openai::kMostTokens));
  }
}

bool ServedRequest::Credible(const openai::Usage& usage) const {
  if (max_model_len_ == 0 || !Generates(kind_)) return true;
  const std::int64_t context = max_model_len_;
  return usage.prompt_tokens <= context * std::max(1, facts_.prompts) &&
         usage.completion_tokens <= context * std::max(1, facts_.choices);
}

void ServedRequest::Learn(Seconds now) {
  const slo::RequestLatency& latency = finished_.latency;
  const bool ok = finished_.outcome == telemetry::Outcome::kCompleted;
  scheduler::Completion completion{.fault = finished_.fault, .retry_after = retry_after_};
  if (ok && latency.output_tokens > 0 && Generates(kind_)) {
    completion.prompt_tokens = latency.prompt_tokens;
    completion.output_tokens = std::max(1, latency.output_tokens / std::max(1, facts_.choices));
    completion.e2e = now - dispatched_at_;
  }
  routed_->Complete(completion);
  if (ok && finished_.counted && facts_.choices == 1) {
    pool_->LearnPrompt(prompt_, latency.prompt_tokens);
  }
}

}  // namespace headrace::serving
