#include "serving/served_request.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
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

std::string Number(Seconds seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", seconds);
  return text;
}

}  // namespace

ServedRequest::ServedRequest(const ServingContext& context, ServingThread& thread, Seconds arrived,
                             std::string_view request_id)
    : context_(context), thread_(thread), request_timeout_(thread.request_timeout) {
  finished_.arrived = arrived;
  finished_.request_id = request_id;
}

ServedRequest::~ServedRequest() {
  Cancel();
  const Seconds now = thread_.executor.Now();
  if (counts_for_key_) context_.keys->End(*key_, prompt_for_key_, TokensUsed(), now);
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
  finished_.whole = now - finished_.arrived;
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
  if (controls_.explain)
    reply.headers.emplace_back("x-headrace-explain", ExplanationHeader(finished_));
  return reply;
}

// --- The endpoint fails

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

}  // namespace headrace::serving
