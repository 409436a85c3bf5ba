// The clients of the soak tests: what each request asks for, when its client leaves, what is wrong
// with the answer, and whether the gateway's metrics say the same.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/random.h"
#include "gateway/test_gateway.h"
#include "openai/request.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace {

// When a client goes away.
enum class Leaves { kNever, kInItsBody, kUnanswered, kMidAnswer, kAtTheEnd };

// What became of a request, as its client saw it.
enum class Seen {
  kWhole,         // 200, complete and what was asked for.
  kEngineError,   // The engine's own 400, passed on.
  kRefused,       // By the gateway, with 429 or 503.
  kFailed,        // By an engine: 5xx, or a stream that ends with an error and no end mark.
  kUnknownModel,  // 404.
  kLeft,          // The client left once its request was sent.
  kLeftEarly,     // The client left before its request was whole.
  kNotAccepted,   // The gateway was stopping.
};
inline constexpr int kSeenKinds = 8;

// One request, all of it drawn from a seed.
struct Plan {
  openai::ApiKind kind = openai::ApiKind::kChatCompletions;
  bool stream = false;
  bool asks_for_usage = false;
  bool known_model = true;
  bool fits_context = true;
  int tokens = 1;  // Of the answer.
  Leaves leaves = Leaves::kNever;
  std::chrono::microseconds patience{0};  // Of a client that leaves unanswered.
  int pieces = 0;                         // That one which leaves in mid-answer reads before.
  bool resets = false;                    // Leaves with a reset instead of a goodbye.
  std::string text;                       // What is sent, head and body.
  std::size_t body_size = 0;
};

inline std::string_view PathOf(openai::ApiKind kind) {
  switch (kind) {
    case openai::ApiKind::kChatCompletions:
      return "/v1/chat/completions";
    case openai::ApiKind::kCompletions:
      return "/v1/completions";
    case openai::ApiKind::kEmbeddings:
      return "/v1/embeddings";
    case openai::ApiKind::kResponses:
      return "/v1/responses";
    case openai::ApiKind::kMessages:
    case openai::ApiKind::kOther:
      break;  // No plan has them.
  }
  return {};
}

inline std::string BodyOf(const Plan& plan, const std::string& prompt, int max_tokens) {
  nlohmann::json body;
  body["model"] = plan.known_model ? "llama2-7b" : "gpt-9";
  switch (plan.kind) {
    case openai::ApiKind::kChatCompletions:
      body["messages"] = {{{"role", "user"}, {"content", prompt}}};
      body["max_completion_tokens"] = max_tokens;
      break;
    case openai::ApiKind::kCompletions:
      body["prompt"] = prompt;
      body["max_tokens"] = max_tokens;
      break;
    case openai::ApiKind::kEmbeddings:
      body["input"] = {prompt, "lake"};
      return body.dump();
    case openai::ApiKind::kResponses:
      body["input"] = prompt;
      body["max_output_tokens"] = max_tokens;
      break;
    case openai::ApiKind::kMessages:
    case openai::ApiKind::kOther:
      break;
  }
  if (plan.stream) body["stream"] = true;
  if (plan.asks_for_usage) body["stream_options"] = {{"include_usage", true}};
  return body.dump();
}

// What engines that fail answer with, so that it can be told from what the gateway says.
inline constexpr std::string_view kFaultMark = "this engine is broken";

// A stream of text, for the model's SLO, whose client stays.
inline Plan MakePlainPlan(std::uint64_t seed) {
  Rng rng(seed);
  Plan plan;
  plan.kind = openai::ApiKind::kCompletions;
  plan.stream = true;
  plan.tokens = 1 + static_cast<int>(rng.Exponential(20));
  std::string prompt;
  const std::size_t words = 1 + static_cast<std::size_t>(rng.Exponential(200)) % 2000;
  for (std::size_t i = 0; i < words; ++i) prompt += "lake ";
  const std::string body = BodyOf(plan, prompt, 1000);
  plan.body_size = body.size();
  plan.text = gateway::PostText(PathOf(plan.kind), body,
                                {"x-headrace-output-tokens: " + std::to_string(plan.tokens)});
  return plan;
}

inline Plan MakePlan(std::uint64_t seed) {
  Rng rng(seed);
  const auto one_in = [&](std::uint64_t n) { return rng.Below(n) == 0; };
  const auto any_of = [&]<typename T>(std::initializer_list<T> list) {
    return list.begin()[rng.Below(list.size())];
  };
  Plan plan;
  plan.kind = any_of({openai::ApiKind::kChatCompletions, openai::ApiKind::kChatCompletions,
                      openai::ApiKind::kCompletions, openai::ApiKind::kResponses,
                      openai::ApiKind::kEmbeddings});
  plan.stream = plan.kind != openai::ApiKind::kEmbeddings && !one_in(3);
  plan.asks_for_usage = plan.stream && plan.kind != openai::ApiKind::kResponses && one_in(2);
  plan.known_model = !one_in(50);
  plan.fits_context = !one_in(50);
  const int natural = 1 + static_cast<int>(rng.Exponential(20));
  const int limit = one_in(4) ? 1 + static_cast<int>(rng.Below(20)) : 1000;
  plan.tokens = std::min(natural, limit);
  plan.leaves =
      any_of({Leaves::kNever, Leaves::kNever, Leaves::kNever, Leaves::kNever, Leaves::kInItsBody,
              Leaves::kUnanswered, Leaves::kUnanswered, Leaves::kMidAnswer, Leaves::kAtTheEnd});
  // It would not reach the scheduler, and nobody could tell.
  if (!plan.known_model) plan.leaves = Leaves::kNever;
  plan.patience = std::chrono::microseconds(one_in(4) ? 0 : rng.Below(300'000));
  plan.pieces = static_cast<int>(rng.Below(10));
  plan.resets = one_in(2);

  std::vector<std::string> headers = {"x-headrace-output-tokens: " + std::to_string(natural)};
  if (one_in(2)) {
    headers.push_back("routing-strategy: " +
                      std::string(routing::Policies()[rng.Below(routing::Policies().size())].name));
  }
  if (one_in(3)) {
    headers.emplace_back(any_of({"x-slo-e2e-ms: 20", "x-slo-e2e-ms: 600", "x-slo-e2e-ms: 700",
                                 "x-slo-e2e-ms: 5000", "x-slo-ttft-ms: 200", "x-slo-ttft-ms: 5000",
                                 "x-slo-tpat-ms: 20", "x-slo-tpot-ms: 50"}));
  }
  const std::size_t words =
      plan.fits_context ? 1 + static_cast<std::size_t>(rng.Exponential(200)) % 2000 : 20'000;
  std::string prompt;
  for (std::size_t i = 0; i < words; ++i) prompt += "lake ";
  const std::string body = BodyOf(plan, prompt, limit);
  plan.body_size = body.size();
  plan.text = gateway::PostText(PathOf(plan.kind), body, headers);
  return plan;
}

// --- What is wrong with an answer, or "".

inline int Words(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), ' '));
}

inline std::string FaultOfTokens(const Plan& plan, int tokens, const char* what) {
  if (tokens == plan.tokens) return {};
  return std::string(what) + " are " + std::to_string(tokens) + " instead of " +
         std::to_string(plan.tokens);
}

inline std::string FaultOfJson(const Plan& plan, const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_discarded()) return "not JSON";
  if (plan.kind == openai::ApiKind::kEmbeddings) {
    return json["data"].size() == 2 ? "" : "not one vector for each input";
  }
  const char* key =
      plan.kind == openai::ApiKind::kResponses ? "output_tokens" : "completion_tokens";
  return FaultOfTokens(plan, json["usage"][key].get<int>(), "tokens of usage");
}

inline std::string FaultOfStream(const Plan& plan, std::string_view body) {
  const bool response = plan.kind == openai::ApiKind::kResponses;
  int words = 0;
  bool usage = false;
  std::string last;
  for (std::size_t end; (end = body.find("\n\n")) != body.npos; body.remove_prefix(end + 2)) {
    const std::string_view event = body.substr(0, end);
    const std::size_t at = event.find("data: ");
    if (at == event.npos) return "an event without data";
    last = event.substr(at + 6);
    if (last == "[DONE]") continue;
    const auto json = nlohmann::json::parse(last, nullptr, false);
    if (json.is_discarded()) return "an event that is not JSON: " + last;
    if (response) {
      last = json["type"];
      if (last == "response.output_text.delta") words += Words(json["delta"]);
      continue;
    }
    usage = usage || (json.contains("usage") && !json["usage"].is_null());
    for (const auto& choice : json["choices"]) {
      const bool text = plan.kind == openai::ApiKind::kCompletions;
      words += Words((text ? choice : choice["delta"]).value(text ? "text" : "content", ""));
    }
  }
  if (!body.empty()) return "half an event";
  const bool ended =
      response ? last == "response.completed" || last == "response.incomplete" : last == "[DONE]";
  if (!ended) return "no end mark but " + last;
  if (usage != plan.asks_for_usage) return usage ? "usage without being asked" : "no usage";
  return FaultOfTokens(plan, words, "words");
}

inline std::string FaultOfError(const gateway::HttpResponse& answer) {
  const auto json = nlohmann::json::parse(answer.body, nullptr, false);
  if (!json.is_object() || !json["error"]["message"].is_string()) return "no error object";
  const bool retry = answer.status == 429 || answer.status == 503;
  return retry == answer.Header("retry-after").empty() ? "a wrong Retry-After" : "";
}

// --- A client

// What it saw of one request.
struct Sight {
  Seen seen = Seen::kLeft;
  std::string fault;   // What should not be.
  std::string reason;  // Of a refusal.
  Seconds e2e = 0;     // From sending to the last byte.
  Seconds ttft = 0;    // To the first byte of the body.
};

// Sends requests one after the other over one connection, for as long as it lasts.
class SoakClient {
 public:
  // `engines_fail`: some answer with errors of their own, and some hang.
  explicit SoakClient(const system::SocketAddress& gateway, bool engines_fail = false)
      : gateway_(gateway), engines_fail_(engines_fail) {}

  // `stopping`: the gateway may have been told to.
  Sight Perform(const Plan& plan, const std::function<bool()>& stopping = [] { return false; }) {
    Sight sight;
    const Seconds sent = system::MonotonicNow();
    if (peer_ && sent - used_ > kIdle) peer_.reset();
    if (!peer_) peer_.emplace(gateway_);
    const std::string_view text = plan.text;
    if (plan.leaves == Leaves::kInItsBody) {
      peer_->Send(text.substr(0, text.size() - 1 - plan.body_size / 2));
      Leave(plan);
      sight.seen = Seen::kLeftEarly;
      return sight;
    }
    if (!peer_->Send(text) && !stopping()) {
      sight.fault = "the connection was closed between two requests";
    }
    if (plan.leaves == Leaves::kUnanswered) {
      std::this_thread::sleep_for(plan.patience);
      // A reset may overtake what was sent; then nobody could say whether the request arrived.
      peer_.reset();
      return sight;
    }
    gateway::HttpResponse answer;
    Seconds first = 0;
    if (!Read(plan, answer, first)) {
      Leave(plan);
      return sight;
    }
    used_ = system::MonotonicNow();
    if (!answer.complete || answer.Header("connection") == "close") peer_.reset();
    if (answer.status == 0 && stopping()) {
      sight.seen = Seen::kNotAccepted;
      return sight;
    }
    sight.e2e = used_ - sent;
    sight.ttft = first - sent;
    if (sight.fault.empty()) sight.seen = Judge(plan, answer, sight.fault);
    if (sight.seen == Seen::kRefused) sight.reason = answer.Header("x-error-routing");
    return sight;
  }

 private:
  // Below the gateway's own time-out of idle connections.
  static constexpr Seconds kIdle = 20;

  void Leave(const Plan& plan) {
    if (plan.resets) peer_->Reset();
    peer_.reset();
  }

  // False when it is time to leave.
  bool Read(const Plan& plan, gateway::HttpResponse& answer, Seconds& first) {
    answer.head = peer_->ReadUntil("\r\n\r\n");
    first = system::MonotonicNow();
    answer.complete = answer.head.size() >= 12;
    if (!answer.complete) return true;
    answer.status = std::stoi(answer.head.substr(9, 3));
    const bool leaves = answer.status == 200;
    if (answer.Header("transfer-encoding") != "chunked") {
      if (leaves && plan.leaves == Leaves::kMidAnswer) return false;
      const std::size_t size = std::stoul("0" + answer.Header("content-length"));
      answer.body = peer_->ReadCount(size);
      answer.complete = answer.body.size() == size;
      return !(leaves && plan.leaves == Leaves::kAtTheEnd);
    }
    for (int piece = 0;; ++piece) {
      if (leaves && plan.leaves == Leaves::kMidAnswer && piece == plan.pieces) return false;
      const std::string line = peer_->ReadUntil("\r\n");
      const std::size_t size = line.empty() ? 0 : std::stoul(line, nullptr, 16);
      answer.complete = !line.empty();
      if (size == 0 && leaves && plan.leaves == Leaves::kAtTheEnd) return false;
      answer.body += peer_->ReadCount(size);
      peer_->ReadCount(2);
      if (size == 0) return true;
    }
  }

  // As clients of chats and completions know it, or those of /v1/responses.
  static bool HasErrorEvent(std::string_view body) {
    return body.find(R"(data: {"error":)") != body.npos ||
           body.find(R"(data: {"type":"error")") != body.npos;
  }

  Seen Judge(const Plan& plan, const gateway::HttpResponse& answer, std::string& fault) const {
    if (answer.status == 0) {
      fault = "no answer";
      return Seen::kFailed;
    }
    if (answer.status == 200) {
      if (!answer.complete) {
        // A client knows by that alone that a body with a length has failed.
        if (!engines_fail_ || plan.stream) fault = "broken off";
      } else if (!plan.stream || !HasErrorEvent(answer.body)) {
        fault = plan.stream ? FaultOfStream(plan, answer.body) : FaultOfJson(plan, answer.body);
        return Seen::kWhole;
      }
      return Seen::kFailed;
    }
    if (engines_fail_ && answer.body.find(kFaultMark) != answer.body.npos) return Seen::kFailed;
    fault = FaultOfError(answer);
    if (answer.status == 404 && !plan.known_model) return Seen::kUnknownModel;
    if (answer.status == 400 && !plan.fits_context) return Seen::kEngineError;
    if (answer.status == 429 || answer.status == 503) return Seen::kRefused;
    if (answer.status != 502 && !(engines_fail_ && answer.status == 504)) {
      fault = "status " + std::to_string(answer.status) + ": " + answer.body;
    }
    return Seen::kFailed;
  }

  system::SocketAddress gateway_;
  bool engines_fail_;
  std::optional<net::RawPeer> peer_;
  Seconds used_ = 0;
};

// --- The ledger

// What all clients saw. Thread-safe.
class SoakLedger {
 public:
  void Add(int number, const Sight& sight) {
    ++seen_[static_cast<std::size_t>(sight.seen)];
    if (sight.fault.empty()) return;
    const system::MutexLock lock(mutex_);
    if (faults_.size() < kMostFaults) {
      faults_.push_back("request " + std::to_string(number) + ": " + sight.fault);
    }
  }

  int seen(Seen kind) const { return seen_[static_cast<std::size_t>(kind)]; }
  int all() const {
    int sum = 0;
    for (const std::atomic<int>& count : seen_) sum += count;
    return sum;
  }
  // The first of them.
  std::vector<std::string> faults() const {
    const system::MutexLock lock(mutex_);
    return faults_;
  }

  // Every request that reached the scheduler has ended once, as its client saw it end: what is not
  // so by the gateway's metrics (by the beginning of their names), or "". A client that has left
  // may not know how its request ended.
  std::string Difference(const std::function<double(const std::string&)>& metric) const {
    const auto ended = [&](const std::string& outcome) {
      return metric(R"(headrace_requests_total{model="llama2-7b",outcome=")" + outcome + '"');
    };
    const int left = seen(Seen::kLeft);
    double of_left = ended("cancelled");
    std::string difference;
    const auto compare = [&](const std::string& what, double in_gateway, int in_full) {
      of_left += in_gateway - in_full;
      if (in_gateway >= in_full && in_gateway <= in_full + left) return;
      difference += what + ": " + Count(in_gateway) + " for the gateway, " + Count(in_full) +
                    " for clients that stayed, " + Count(left) + " left; ";
    };
    compare("completed", ended("completed"), seen(Seen::kWhole));
    compare("client_error", ended("client_error"), seen(Seen::kEngineError));
    compare("refused", ended("refused"), seen(Seen::kRefused));
    compare("failed by an engine", ended("failed") + ended("timed_out") + ended("engine_error"),
            seen(Seen::kFailed));
    if (of_left != left) {
      difference +=
          "left: " + Count(of_left) + " for the gateway, " + Count(left) + " for the clients; ";
    }
    const double unknown = metric("headrace_invalid_requests_total{status=\"404\"");
    if (unknown != seen(Seen::kUnknownModel)) {
      difference += "unknown model: " + Count(unknown) + " for the gateway, " +
                    Count(seen(Seen::kUnknownModel)) + " for clients; ";
    }
    if (metric("headrace_refused_total") != ended("refused")) {
      difference += "refused: " + Count(metric("headrace_refused_total")) + " by reason, " +
                    Count(ended("refused")) + " by outcome; ";
    }
    return difference;
  }

  std::string Summary() const {
    return "whole " + Count(seen(Seen::kWhole)) + ", engine's 400 " +
           Count(seen(Seen::kEngineError)) + ", refused " + Count(seen(Seen::kRefused)) +
           ", failed " + Count(seen(Seen::kFailed)) + ", unknown model " +
           Count(seen(Seen::kUnknownModel)) + ", left " + Count(seen(Seen::kLeft)) +
           ", left early " + Count(seen(Seen::kLeftEarly)) + ", not accepted " +
           Count(seen(Seen::kNotAccepted));
  }

 private:
  static constexpr std::size_t kMostFaults = 20;
  static std::string Count(double count) { return std::to_string(std::llround(count)); }

  std::array<std::atomic<int>, kSeenKinds> seen_ = {};
  mutable system::Mutex mutex_;
  std::vector<std::string> faults_ HEADRACE_GUARDED_BY(mutex_);
};

}  // namespace headrace
