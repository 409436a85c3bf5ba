// The clients of the soak test: what each request asks for, when its client leaves, and what is
// wrong with the answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "gateway/test_gateway.h"
#include "openai/request.h"

namespace headrace {

// When a client goes away.
enum class Leaves { kNever, kInItsBody, kUnanswered, kMidAnswer, kAtTheEnd };

// What became of a request, as its client saw it.
enum class Seen {
  kWhole,         // 200, complete and what was asked for.
  kEngineError,   // The engine's own 400, passed on.
  kRefused,       // By the gateway, with 429 or 503.
  kFailed,        // 502, or a stream that ends with an error and no end mark.
  kUnknownModel,  // 404.
  kLeft,          // The client left once its request was sent.
  kLeftEarly,     // The client left before its request was whole.
};
inline constexpr int kSeenKinds = 7;

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
  }
  if (plan.stream) body["stream"] = true;
  if (plan.asks_for_usage) body["stream_options"] = {{"include_usage", true}};
  return body.dump();
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

// Sends requests one after the other over one connection, for as long as it lasts.
class SoakClient {
 public:
  explicit SoakClient(const system::SocketAddress& gateway) : gateway_(gateway) {}

  // What became of it; `fault` says what should not be.
  Seen Perform(const Plan& plan, std::string& fault) {
    if (!peer_) peer_.emplace(gateway_);
    const std::string_view text = plan.text;
    if (plan.leaves == Leaves::kInItsBody) {
      peer_->Send(text.substr(0, text.size() - 1 - plan.body_size / 2));
      Leave(plan);
      return Seen::kLeftEarly;
    }
    if (!peer_->Send(text)) fault = "the connection was closed between two requests";
    if (plan.leaves == Leaves::kUnanswered) {
      std::this_thread::sleep_for(plan.patience);
      // A reset may overtake what was sent; then nobody could say whether the request arrived.
      peer_.reset();
      return Seen::kLeft;
    }
    gateway::HttpResponse answer;
    const bool left = !Read(plan, answer);
    if (left) {
      Leave(plan);
      return Seen::kLeft;
    }
    if (!answer.complete || answer.Header("connection") == "close") peer_.reset();
    return Judge(plan, answer, fault);
  }

 private:
  void Leave(const Plan& plan) {
    if (plan.resets) peer_->Reset();
    peer_.reset();
  }

  // False when it is time to leave.
  bool Read(const Plan& plan, gateway::HttpResponse& answer) {
    answer.head = peer_->ReadUntil("\r\n\r\n");
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

  static Seen Judge(const Plan& plan, const gateway::HttpResponse& answer, std::string& fault) {
    if (answer.status == 200) {
      if (!answer.complete) {
        fault = "broken off";
      } else if (!plan.stream || !HasErrorEvent(answer.body)) {
        fault = plan.stream ? FaultOfStream(plan, answer.body) : FaultOfJson(plan, answer.body);
        return Seen::kWhole;
      }
      return Seen::kFailed;
    }
    fault = FaultOfError(answer);
    if (answer.status == 404 && !plan.known_model) return Seen::kUnknownModel;
    if (answer.status == 400 && !plan.fits_context) return Seen::kEngineError;
    if (answer.status == 429 || answer.status == 503) return Seen::kRefused;
    if (answer.status != 502) fault = "status " + std::to_string(answer.status);
    return Seen::kFailed;
  }

  system::SocketAddress gateway_;
  std::optional<net::RawPeer> peer_;
};

}  // namespace headrace
