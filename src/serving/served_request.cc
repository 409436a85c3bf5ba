#include "serving/served_request.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <utility>

#include "base/hash.h"
#include "base/text.h"

namespace headrace::serving {
namespace {

// What a waiting request occupies beside its body.
constexpr std::size_t kRequestOverhead = 4096;

predict::PromptSize PromptSizeOf(openai::ApiKind kind, const openai::RequestFacts& facts) {
  using Form = predict::PromptSize::Form;
  const bool chat = kind != openai::ApiKind::kCompletions && kind != openai::ApiKind::kEmbeddings;
  return {.form = facts.prompt_has_json ? Form::kTools
                  : chat                ? Form::kChat
                                        : Form::kPlain,
          .bytes = static_cast<std::int64_t>(facts.prompt_bytes),
          .token_ids = static_cast<std::int64_t>(facts.prompt_token_ids),
          .unsized_parts = facts.unsized_parts};
}

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

Rng RandomlySeeded() {
  std::random_device device;
  return Rng(std::uint64_t{device()} << 32 | device());
}

std::string Number(Seconds seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", seconds);
  return text;
}

}  // namespace

void ServingThread::SetConfig(const config::Config& config) {
  request_timeout = config.timeouts.request;
  const auto is_default = [](const config::ModelConfig& model) { return model.is_default; };
  const auto found = std::ranges::find_if(config.models, is_default);
  default_model = found == config.models.end() ? std::string() : found->name;
  foreign_strategies =
      config.nearest_strategy ? ForeignStrategies::kNearest : ForeignStrategies::kRefused;
  if (config.tracing.endpoint.empty()) {
    traces.reset();
  } else if (traces) {
    traces->SetRatio(config.tracing.sample);
  } else {
    traces.emplace(config.tracing.sample, RandomlySeeded(), RandomlySeeded());
  }
}

ServedRequest::ServedRequest(const ServingContext& context, ServingThread& thread, Seconds arrived,
                             std::string_view request_id)
    : context_(context), thread_(thread), request_timeout_(thread.request_timeout) {
  finished_.arrived = arrived;
  finished_.request_id = request_id;
}

ServedRequest::~ServedRequest() {
  Cancel();
  if (counts_for_key_) {
    context_.keys->End(*key_, prompt_for_key_, TokensUsed(), thread_.executor.Now());
  }
  if (!routed_) {
    const AnsweredRequest answered{.request_id = finished_.request_id,
                                   .arrived = finished_.arrived,
                                   .exchange = finished_.exchange,
                                   .model = facts_.model,
                                   .reason = invalid_,
                                   .trace = finished_.trace ? &*finished_.trace : nullptr};
    for (RequestObserver* observer : context_.observers) observer->OnAnswered(answered);
    return;
  }
  const std::int64_t expected =
      std::int64_t{routed_->expected_output_tokens()} * std::max(1, facts_.choices);
  finished_.expected_output_tokens =
      static_cast<Tokens>(std::min<std::int64_t>(expected, openai::kMostTokens));
  finished_.choices = std::max(1, facts_.choices);
  finished_.whole = thread_.executor.Now() - finished_.arrived;
  for (RequestObserver* observer : context_.observers) observer->OnFinished(finished_);
}

// --- Its trace

void ServedRequest::StartTrace(std::string_view traceparent, std::string_view tracestate) {
  if (thread_.traces) finished_.trace = thread_.traces->Start(traceparent, tracestate);
}

std::optional<tracing::TraceContext> ServedRequest::TraceToSend() const {
  if (!finished_.trace) return std::nullopt;
  const int failed = static_cast<int>(finished_.failed_tries.size());
  return finished_.trace->ContextOfChild(TryChild(failed));
}

// --- To a route

tl::expected<void, ErrorReply> ServedRequest::Scan(openai::ApiKind kind, std::string& body,
                                                   const HeaderLookup& header) {
  return TakeFacts(kind, thread_.scanner.Scan(kind, body), body.size(), header);
}

tl::expected<void, ErrorReply> ServedRequest::TakeFacts(
    openai::ApiKind kind, tl::expected<openai::RequestFacts, openai::ApiError> facts,
    std::size_t body_bytes, const HeaderLookup& header) {
  kind_ = kind;
  body_bytes_ = body_bytes;
  if (auto known = FindKey(header); !known) return known;
  if (!facts) {
    const std::string_view kind_of_error = facts.error().param == "model"
                                               ? "x-error-no-model-in-request"
                                               : "x-error-request-body-processing";
    return tl::unexpected(Invalid(MakeErrorReply(std::move(facts).error(), kind_of_error)));
  }
  facts_ = *std::move(facts);
  if (auto named = FindPool(header); !named) return named;
  prompt_ = PromptSizeOf(kind_, facts_);
  if (!facts_.previous_response.empty() && context_.responses != nullptr) {
    const auto owner = context_.responses->Find(facts_.previous_response, finished_.arrived);
    // What nothing is known of may be anybody's: one of many others ago, or before a start. Where
    // no responses are seen, nothing is known of any.
    const bool known = !owner.pool.empty();
    const bool strange = key_ != nullptr && kind_ == openai::ApiKind::kResponses && !unread_;
    if (known ? !MayRead(owner) : strange) {
      return tl::unexpected(UnknownResponse(facts_.previous_response, "previous_response_id"));
    }
    only_ = owner.endpoint.lock();
  }
  return TakeControls(header);
}

tl::expected<void, ErrorReply> ServedRequest::FindPool(const HeaderLookup& header) {
  const std::string named = facts_.model;
  if (const auto rewrite = ModelRewrite(header); !rewrite.empty()) facts_.model = rewrite;
  if (facts_.model.empty()) facts_.model = model_in_path_;
  if (facts_.model.empty()) facts_.model = thread_.default_model;
  if (facts_.model.empty()) return tl::unexpected(Invalid(NamesNoModel()));
  pool_ = context_.pools.Find(facts_.model);
  std::string_view name = facts_.model;
  if (pool_ == nullptr && !thread_.default_model.empty()) {
    name = thread_.default_model;
    pool_ = context_.pools.Find(name);
  }
  if (pool_ == nullptr) return tl::unexpected(Invalid(UnknownModel(facts_.model)));
  if (!facts_.model_at.known()) return {};
  std::optional<std::string> at_engines = pool_->names().AtEngines(name);
  if (!at_engines && name != named) at_engines = name;
  if (at_engines) name_model_ = openai::NameModel(facts_.model_at, *at_engines);
  return {};
}

tl::expected<void, ErrorReply> ServedRequest::FindResponse(std::string_view id,
                                                           const HeaderLookup& header) {
  kind_ = openai::ApiKind::kOther;
  if (auto known = FindKey(header); !known) return known;
  ResponseOwners::Owner owner;
  if (context_.responses != nullptr) owner = context_.responses->Find(id, finished_.arrived);
  only_ = owner.endpoint.lock();
  pool_ = context_.pools.Find(owner.pool);
  if (only_ == nullptr || pool_ == nullptr || !MayRead(owner)) {
    return tl::unexpected(UnknownResponse(id, "id"));
  }
  facts_.model = std::move(owner.model);
  return TakeControls(header);
}

bool ServedRequest::MayRead(const ResponseOwners::Owner& owner) const {
  return key_ == nullptr || key_->Tenant() == owner.tenant;
}

ErrorReply ServedRequest::UnknownResponse(std::string_view id, std::string_view param) {
  return Invalid(MakeErrorReply(
      openai::MakeApiError(404, "The response '" + Excerpt(id) + "' is not known here.",
                           std::string(param)),
      "x-error-no-model-backends"));
}

tl::expected<void, ErrorReply> ServedRequest::TakeControls(const HeaderLookup& header) {
  auto controls = ReadControls(header, *pool_, thread_.foreign_strategies);
  if (!controls) return tl::unexpected(Invalid(std::move(controls).error()));
  controls_ = *controls;
  finished_.model = facts_.model;
  finished_.tenant = controls_.tenant_name;
  finished_.kind = kind_;
  finished_.stream = facts_.stream;
  finished_.has_prompt = kind_ != openai::ApiKind::kOther;
  if (key_) {
    // Objectives of Kubernetes have any number.
    controls_.priority = static_cast<int>(
        std::clamp<std::int64_t>(std::int64_t{controls_.priority} + key_->priority,
                                 std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
    controls_.tenant = HashOf(key_->Tenant());
    controls_.tenant_name = key_->Tenant();
    finished_.tenant = controls_.tenant_name;
    if (auto counted = CountForKey(); !counted) return counted;
  }
  if (finished_.has_prompt) return {};
  // What is not sized is nothing to schedule: it goes where the fewest requests are.
  static const routing::PolicyInfo* const kLeastRequest = routing::FindPolicy("least-request");
  controls_.policy = kLeastRequest;
  controls_.slo.emplace();
  return {};
}

tl::expected<void, ErrorReply> ServedRequest::FindKey(const HeaderLookup& header) {
  if (context_.keys == nullptr || key_ != nullptr) return {};
  auto key = context_.keys->Find(header);
  if (!key) return tl::unexpected(Invalid(std::move(key).error()));
  key_ = *std::move(key);
  return {};
}

tl::expected<void, ErrorReply> ServedRequest::CountForKey() {
  for (const std::string& adapter : facts_.adapters) {
    if (auto may = ClientKeys::MayUse(*key_, adapter); !may) {
      return tl::unexpected(Invalid(std::move(may).error()));
    }
  }
  prompt_for_key_ = finished_.has_prompt ? pool_->EstimatePrompt(prompt_) : 0;
  auto begun = context_.keys->Begin(*key_, facts_.model, prompt_for_key_, thread_.executor.Now());
  if (!begun) return tl::unexpected(Invalid(std::move(begun).error()));
  counts_for_key_ = true;
  return {};
}

std::int64_t ServedRequest::TokensUsed() const {
  const slo::RequestLatency& latency = finished_.latency;
  if (finished_.outcome == telemetry::Outcome::kCompleted && finished_.has_prompt) {
    return std::int64_t{latency.prompt_tokens} + latency.output_tokens;
  }
  // What was broken off was work all the same; what the engine failed was none.
  using telemetry::Outcome;
  const bool broken_off = finished_.outcome == Outcome::kCancelled ||
                          (finished_.outcome == Outcome::kTimedOut && !finished_.fault);
  const bool worked = answering_ || (broken_off && endpoint_ != nullptr);
  const auto deltas = parser_ ? static_cast<std::int64_t>(parser_->deltas()) : 0;
  return worked ? prompt_for_key_ + deltas : 0;
}

ErrorReply ServedRequest::Invalid(ErrorReply reply) {
  for (RequestObserver* observer : context_.observers) observer->OnInvalid(reply.error.status);
  invalid_ = reply.error.message;
  return reply;
}

void ServedRequest::Arrive(OnRoute on_route) {
  on_route_ = std::move(on_route);
  finished_.pool = pool_->name();
  if (finished_.has_prompt) {
    for (RequestObserver* observer : context_.observers)
      observer->OnArrived(finished_.pool, finished_.arrived);
  }
  pool_->retries().Arrived();
  routed_.emplace(
      pool_->router(), thread_.executor, [this](Route route) { TakeRoute(std::move(route)); },
      finished_.request_id);
  routed_->OnEndpointDown([this](const EndpointInfo& down) {
    if (on_stranded_ && endpoint_.get() == &down && MayRetry(kStranded)) on_stranded_();
  });
  ArriveAtRouter();
}

void ServedRequest::ArriveAtRouter() {
  routed_->Arrive(MakeArrival(), {.only = only_.get(), .among = offered_ ? &*offered_ : nullptr});
}

scheduler::Arrival ServedRequest::MakeArrival() {
  scheduler::Arrival arrival;
  arrival.prompt_tokens = sizing_ == Sizing::kEstimate ? pool_->EstimatePrompt(prompt_)
                          : sizing_ == Sizing::kLeast  ? pool_->LeastPrompt(prompt_)
                                                       : predict::PromptEstimator::Floor(prompt_);
  arrival.max_tokens = facts_.max_tokens;
  arrival.reports_first_token = facts_.stream;
  // Embeddings come without generating: the prompt is all the work.
  if (!Generates(kind_) || sizing_ == Sizing::kFloor) arrival.output_tokens = 1;
  // Several prompts come in one request: the longest has at least its share. Embeddings' inputs are
  // not counted, so nothing is known of them.
  if (Generates(kind_)) {
    const double needs = std::ceil(static_cast<double>(arrival.prompt_tokens) / facts_.prompts) +
                         facts_.max_tokens.value_or(1);
    arrival.context = static_cast<Tokens>(std::clamp(needs, 1.0, 2e9));
  }
  arrival.slo = controls_.slo;
  arrival.policy = controls_.policy;
  arrival.priority = controls_.priority;
  arrival.tenant = controls_.tenant;
  arrival.detail = controls_.explain ? scheduler::Detail::kHarmed : scheduler::Detail::kConsidered;
  arrival.bytes = body_bytes_ + kRequestOverhead;
  arrival.fallbacks = wanted_fallbacks_;
  finished_.estimated_prompt_tokens = arrival.prompt_tokens;
  return arrival;
}

bool ServedRequest::ArriveAsLess(scheduler::RefusalReason reason) {
  using scheduler::RefusalReason;
  const bool for_size = reason == RefusalReason::kSloUnattainable ||
                        (reason == RefusalReason::kNoEndpoint && routed_->AnyUp());
  if (!for_size || sizing_ == Sizing::kFloor) return false;
  const Tokens taken_for = routed_->arrival().prompt_tokens;
  if (sizing_ == Sizing::kEstimate && pool_->LeastPrompt(prompt_) < taken_for) {
    sizing_ = Sizing::kLeast;
  } else if (pool_->RefusedPrompt(prompt_)) {
    sizing_ = Sizing::kFloor;
  } else {
    return false;
  }
  ArriveAtRouter();
  return true;
}

void ServedRequest::TakeRoute(Route route) {
  if (route.decision.refused && finished_.failed_tries.empty() &&
      ArriveAsLess(*route.decision.refused)) {
    return;
  }
  const Seconds now = thread_.executor.Now();
  finished_.queued = now - finished_.arrived;
  finished_.slo = route.decision.slo;
  finished_.hold = route.decision.hold;
  finished_.held_cost = route.decision.held_cost;
  if (route.decision.refused) {
    if (last_failure_) {
      End(OutcomeOf(finished_.failed_tries.back().fault));
      on_route_(tl::unexpected(Explained(*last_failure_)));
      return;
    }
    End(telemetry::Outcome::kRefused);
    finished_.refused = route.decision.refused;
    ErrorReply reply = Refuse(route.decision);
    finished_.refusal = reply.error.message;
    on_route_(tl::unexpected(Explained(std::move(reply))));
    return;
  }
  dispatched_at_ = now;
  endpoint_ = std::move(route.endpoint);
  fallbacks_ = std::move(route.fallbacks);
  max_model_len_ = route.max_model_len;
  asks_for_usage_ = facts_.ask_for_usage && !unread_ && endpoint_->stream_options &&
                    endpoint_->stream_options->load();
  refused_usage_ = false;
  finished_.endpoint = endpoint_.get();
  finished_.policy = route.decision.policy;
  finished_.fallback = route.decision.fallback;
  finished_.outlook = route.decision.outlook;
  finished_.considered = std::move(route.considered);
  on_route_(endpoint_);
}

ErrorReply ServedRequest::Refuse(const scheduler::Decision& decision) const {
  const scheduler::RefusalReason reason = *decision.refused;
  const bool no_endpoint = reason == scheduler::RefusalReason::kNoEndpoint;
  RefusalFacts facts = pool_->router().WhyRefused(decision, routed_->arrival());
  facts.at_least = sizing_ != Sizing::kEstimate;
  openai::ApiError error =
      openai::MakeApiError(no_endpoint ? 503 : 429, DescribeRefusal(pool_->name(), facts));
  error.code = ToString(reason);
  ErrorReply reply = MakeErrorReply(std::move(error),
                                    no_endpoint ? "x-error-no-model-backends" : "x-error-routing",
                                    std::string(ToString(reason)));
  const auto retry_after = static_cast<std::int64_t>(std::ceil(decision.retry_after));
  reply.headers.emplace_back("retry-after", std::to_string(retry_after));
  // The official clients try again by themselves; where that cannot help, they are told not to.
  if (reason == scheduler::RefusalReason::kSloUnattainable) {
    reply.headers.emplace_back("x-should-retry", "false");
  }
  return reply;
}

std::string ServedRequest::ExplanationHeader() const {
  std::string text = "queued_ms=" + FormatFixed(finished_.queued * 1e3, 3);
  const auto add = [&text](const std::vector<NamedNumber>& numbers) {
    for (const NamedNumber& number : numbers) {
      text.append("; ").append(number.name).append("=").append(number.text);
    }
  };
  if (finished_.hold != scheduler::Hold::kNone) {
    text.append("; hold=").append(ToString(finished_.hold));
  }
  if (finished_.refused) text.append("; reason=").append(ToString(*finished_.refused));
  if (!finished_.failed_tries.empty()) {
    text += "; failed_tries=" + std::to_string(finished_.failed_tries.size());
  }
  if (finished_.outlook) add(NumbersOf(*finished_.outlook, finished_.arrived));
  const Considered& considered = finished_.considered;
  if (!considered.facts) return text;
  for (const routing::Option& option : considered.facts->options) {
    const FleetNames::Endpoint& name = considered.names->endpoints[option.endpoint];
    text += ", deployment=" + considered.names->deployments[name.deployment];
    if (endpoint_ && option.endpoint == endpoint_->id) text += "; chosen";
    add(NumbersOf(option, finished_.arrived));
  }
  return text;
}

// --- Ends without a response of the engine

bool ServedRequest::End(telemetry::Outcome outcome) {
  if (ended_) return false;
  ended_ = true;
  progress_.reset();
  if (routed_) pool_->retries().Ended();
  GiveBackRetry();
  finished_.outcome = outcome;
  finished_.served = thread_.executor.Now() - finished_.arrived;
  return true;
}

void ServedRequest::Cancel() {
  if (!End(telemetry::Outcome::kCancelled) || !routed_) return;
  if (endpoint_ == nullptr) finished_.queued = thread_.executor.Now() - finished_.arrived;
  routed_->Cancel();
}

ErrorReply ServedRequest::TimeOut() {
  if (End(telemetry::Outcome::kTimedOut)) {
    if (endpoint_ == nullptr) finished_.queued = thread_.executor.Now() - finished_.arrived;
    routed_->Cancel();
  }
  return Explained(
      Reply(openai::MakeApiError(504, "The request took longer than the gateway allows (" +
                                          Number(request_timeout_) + " s).")));
}

ErrorReply ServedRequest::Reply(openai::ApiError error) const {
  ErrorReply reply = MakeErrorReply(std::move(error), "x-error-routing");
  if (endpoint_) reply.headers.emplace_back("target-pod", endpoint_->address);
  return reply;
}

ErrorReply ServedRequest::Explained(ErrorReply reply) const {
  if (controls_.explain) reply.headers.emplace_back("x-headrace-explain", ExplanationHeader());
  return reply;
}

// --- The endpoint fails

std::optional<fleet::EngineFault> ServedRequest::FaultToRetry(int status) {
  const bool retried = status == 429 || (status >= 502 && status <= 504);
  return retried ? FaultOf(status) : std::nullopt;
}

bool ServedRequest::MayRetry(fleet::EngineFault fault) {
  RetryBudget& budget = pool_->retries();
  if (once_ || ended_ || answering_ || !routed_->open()) return false;
  if (thread_.executor.Now() >= deadline()) return false;
  if (std::ssize(finished_.failed_tries) >= budget.most()) return false;
  if (std::ranges::find(kRetriedFaults, fault) == kRetriedFaults.end()) return false;
  // Nothing was sent, so nothing is repeated; and the queue knows whether there is another one.
  if (fault == fleet::EngineFault::kConnect) return true;
  if (!routed_->HasAlternative()) return false;
  if (!holds_retry_) holds_retry_ = budget.Take();
  finished_.out_of_budget = !holds_retry_;
  return holds_retry_;
}

void ServedRequest::Retry(fleet::EngineFault fault, std::string_view why, Seconds retry_after) {
  if (ended_) return;
  last_failure_.reset();
  if (fault != fleet::EngineFault::kConnect) last_failure_ = DescribeFault(fault, why);
  LeaveEndpoint(fault, why);
  finished_.policy = {};
  finished_.fallback = scheduler::FallbackCause::kNone;
  finished_.moved = false;
  routed_->Return(fault, retry_after);
}

void ServedRequest::LeaveEndpoint(fleet::EngineFault fault, std::string_view why) {
  const Seconds now = thread_.executor.Now();
  finished_.failed_tries.push_back({.address = endpoint_->address,
                                    .deployment = endpoint_->deployment,
                                    .fault = fault,
                                    .why = std::string(why),
                                    .sent = dispatched_at_ - finished_.arrived,
                                    .took = now - dispatched_at_});
  // No endpoint has served it yet.
  endpoint_ = nullptr;
  fallbacks_.clear();
  finished_.endpoint = nullptr;
  finished_.outlook.reset();
  finished_.considered = {};
  status_ = 0;
  event_stream_ = false;
  parser_.reset();
  progress_.reset();
}

void ServedRequest::ServedBy(std::string_view address) {
  if (ended_ || endpoint_ == nullptr || endpoint_->IsAt(address)) return;
  LeaveEndpoint(kMoved, "the proxy sent it to another endpoint");
  dispatched_at_ = thread_.executor.Now();
  endpoint_ = routed_->Move(address, kMoved);
  if (endpoint_ == nullptr) {
    endpoint_ = std::make_shared<EndpointInfo>(EndpointInfo{.address = std::string(address)});
  }
  max_model_len_ = 0;
  finished_.endpoint = endpoint_.get();
  finished_.moved = true;
}

std::optional<ErrorReply> ServedRequest::EndpointFailed(fleet::EngineFault fault,
                                                        std::string_view why) {
  if (fault == fleet::EngineFault::kConnect) pool_->router().ConnectFailed(*endpoint_, why);
  if (MayRetry(fault)) {
    Retry(fault, why);
    return std::nullopt;
  }
  if (!End(OutcomeOf(fault))) return std::nullopt;
  finished_.fault = fault;
  routed_->Complete({.fault = fault});
  return Explained(DescribeFault(fault, why));
}

ErrorReply ServedRequest::DescribeFault(fleet::EngineFault fault, std::string_view why) const {
  const int status = fault == fleet::EngineFault::kTimeout ? 504 : 502;
  return Reply(openai::MakeApiError(status, "Endpoint " + endpoint_->address + " of deployment '" +
                                                endpoint_->deployment +
                                                "' failed: " + std::string(why) + "."));
}

telemetry::Outcome ServedRequest::OutcomeOf(fleet::EngineFault fault) {
  switch (fault) {
    case fleet::EngineFault::kTimeout:
      return telemetry::Outcome::kTimedOut;
    case fleet::EngineFault::kStatus:
    case fleet::EngineFault::kBusy:
    case fleet::EngineFault::kErrorInBody:
      return telemetry::Outcome::kEngineError;
    default:
      return telemetry::Outcome::kFailed;
  }
}

void ServedRequest::GiveBackRetry() {
  if (holds_retry_) pool_->retries().GiveBack();
  holds_retry_ = false;
}

// --- The engine's response

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
