#include "emulator/emulated_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/random.h"
#include "net/http_client.h"
#include "net/test_peers.h"
#include "system/clock.h"

namespace headrace::emulator {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Seconds kLong = 30;

struct Reply {
  int status = 0;
  std::string type;
  std::string body;

  Json json() const { return Json::parse(body); }
  // The `data:` of each event, but for [DONE].
  std::vector<Json> events() const {
    std::vector<Json> events;
    std::size_t at = 0;
    while ((at = body.find("data: ", at)) != std::string::npos) {
      const std::size_t end = body.find('\n', at);
      const std::string data = body.substr(at + 6, end - at - 6);
      if (data != "[DONE]") events.push_back(Json::parse(data));
      at = end;
    }
    return events;
  }
};

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    options_.model = "llama2-7b";
    options_.engine.step = {.a = 20e-3, .b = 0.1e-3, .c = 0.05e-3, .d = 1e-6};
    options_.engine.kv_blocks = 600;
    options_.engine.max_model_len = 2048;
    options_.speed = 200;
    options_.seed = 7;
    options_.listen = *system::Resolve({"127.0.0.1", 0});
    threads_[0].Run([this] {
      client_ = std::make_unique<net::HttpClient>(threads_[0], net::HttpClientOptions{});
    });
  }
  ~EngineTest() override {
    threads_[0].Run([this] { client_.reset(); });
  }

  EmulatedEngine& engine() {
    if (!engine_) engine_ = MustStart(options_);
    return *engine_;
  }
  static std::unique_ptr<EmulatedEngine> MustStart(const EmulatedEngineOptions& options) {
    auto engine = EmulatedEngine::Start(options);
    EXPECT_TRUE(engine) << engine.error().message;
    return std::move(*engine);
  }

  net::Task<Reply> CallTask(system::SocketAddress address, std::string method, std::string path,
                            std::string body, std::string output_tokens) {
    net::HttpCall call(*client_);
    net::RequestHead head(method, path, "engine");
    if (!output_tokens.empty()) head.Add(kOutputTokensHeader, output_tokens);
    const std::string_view pieces[] = {body};
    Reply reply;
    const net::CallError error =
        co_await call.Start(address, head, pieces, system::MonotonicNow() + kLong);
    EXPECT_EQ(error, net::CallError::kNone);
    if (error != net::CallError::kNone) co_return reply;
    reply.status = call.status();
    reply.type = call.Header("content-type");
    for (;;) {
      const net::HttpCall::Piece piece = co_await call.ReadSome(system::MonotonicNow() + kLong);
      EXPECT_EQ(piece.error, net::CallError::kNone);
      reply.body += piece.data;
      if (piece.last || piece.error != net::CallError::kNone) co_return reply;
    }
  }
  Reply Call(const std::string& method, const std::string& path, const std::string& body = "",
             const std::string& output_tokens = "") {
    const system::SocketAddress address = engine().address();
    return net::RunTask<Reply>(threads_[0], [&]() -> net::Task<Reply> {
      return CallTask(address, method, path, body, output_tokens);
    });
  }
  Reply Post(const std::string& path, const Json& body, const std::string& output_tokens = "") {
    return Call("POST", path, body.dump(), output_tokens);
  }
  Reply Chat(Json extra, const std::string& output_tokens = "") {
    extra["model"] = "llama2-7b";
    extra["messages"] = {{{"role", "user"}, {"content", std::string(36, 'x')}}};
    return Post("/v1/chat/completions", extra, output_tokens);
  }

  // The value of a metric that has one sample; `sample` as it stands before the value.
  double Metric(const std::string& sample) {
    const std::string text = Call("GET", "/metrics").body;
    const std::size_t at = text.find("\n" + sample);
    EXPECT_NE(at, std::string::npos) << sample << " in\n" << text;
    if (at == std::string::npos) return -1;
    return std::stod(text.substr(text.find("} ", at) + 2));
  }
  // Waits for what happens in the engine's own time.
  void AwaitMetric(const std::string& sample, double value) {
    const Seconds limit = system::MonotonicNow() + kLong;
    while (Metric(sample) != value && system::MonotonicNow() < limit) std::this_thread::yield();
    EXPECT_EQ(Metric(sample), value) << sample;
  }

  EmulatedEngineOptions options_;
  net::IoThreads threads_{1};
  std::unique_ptr<net::HttpClient> client_;
  std::unique_ptr<EmulatedEngine> engine_;
};

TEST_F(EngineTest, RespondsToAChatAtOnce) {
  const auto reply = Chat({}, "25");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.type, "application/json");
  const Json json = reply.json();
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "llama2-7b");
  EXPECT_EQ(json["choices"].size(), 1U);
  EXPECT_EQ(json["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(json["choices"][0]["message"]["content"].get<std::string>().size(), 100U);
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 13);
  EXPECT_EQ(json["usage"]["completion_tokens"], 25);
  EXPECT_EQ(json["usage"]["total_tokens"], 38);
}

TEST_F(EngineTest, StreamsAChatTokenByToken) {
  options_.speed = 10;  // Steps of 2 ms: what a busy machine sends late comes together.
  const auto reply = Chat({{"stream", true}}, "25");
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.type, HasSubstr("text/event-stream"));
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n"));
  const auto events = reply.events();
  EXPECT_EQ(events.front()["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  for (const Json& event : events) {
    EXPECT_EQ(event["object"], "chat.completion.chunk");
    EXPECT_EQ(event["id"], events.front()["id"]);
    EXPECT_FALSE(event.contains("usage"));
    text += event["choices"][0]["delta"]["content"];
    const bool last = &event == &events.back();
    EXPECT_EQ(event["choices"][0]["finish_reason"], last ? Json("stop") : Json());
  }
  EXPECT_EQ(text.size(), 100U);
  EXPECT_GT(events.size(), 2U);
}

TEST_F(EngineTest, SendsTheUsageOfAStreamWhenItIsAskedFor) {
  const auto reply = Chat({{"stream", true}, {"stream_options", {{"include_usage", true}}}}, "5");
  const auto events = reply.events();
  EXPECT_TRUE(events.back()["choices"].empty());
  EXPECT_EQ(events.back()["usage"]["prompt_tokens"], 13);
  EXPECT_EQ(events.back()["usage"]["completion_tokens"], 5);
}

TEST_F(EngineTest, CompletesAPromptStreamedOrNot) {
  const Json body = {{"model", "llama2-7b"}, {"prompt", "12345678"}, {"max_tokens", 6}};
  const Json whole = Post("/v1/completions", body, "100").json();
  EXPECT_EQ(whole["object"], "text_completion");
  EXPECT_EQ(whole["choices"][0]["text"].get<std::string>().size(), 24U);
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(whole["usage"]["prompt_tokens"], 2);

  Json streamed = body;
  streamed["stream"] = true;
  std::string text;
  const auto events = Post("/v1/completions", streamed, "100").events();
  for (const Json& event : events) text += event["choices"][0]["text"];
  EXPECT_EQ(text.size(), 24U);
  EXPECT_EQ(events.back()["choices"][0]["finish_reason"], "length");
}

TEST_F(EngineTest, EndsWhereItIsToldTo) {
  const auto usage = [](const Reply& reply) { return reply.json()["usage"]["completion_tokens"]; };
  const auto reason = [](const Reply& reply) {
    return reply.json()["choices"][0]["finish_reason"];
  };
  auto reply = Chat({{"max_tokens", 10}}, "10");
  EXPECT_EQ(usage(reply), 10);
  EXPECT_EQ(reason(reply), "stop");
  reply = Chat({{"max_tokens", 10}}, "11");
  EXPECT_EQ(usage(reply), 10);
  EXPECT_EQ(reason(reply), "length");
  reply = Chat({{"max_tokens", 10}, {"ignore_eos", true}}, "3");
  EXPECT_EQ(usage(reply), 10);
  EXPECT_EQ(reason(reply), "length");
  reply = Chat({{"stop", " "}}, "50");
  EXPECT_EQ(usage(reply), 1);
  EXPECT_EQ(reason(reply), "stop");
  EXPECT_EQ(reply.json()["choices"][0]["message"]["content"], "");
  // Without a word the context is the limit.
  reply = Chat({{"ignore_eos", true}});
  EXPECT_EQ(usage(reply), 2048 - 13);
}

TEST_F(EngineTest, RefusesWhatIsBeyondTheContextAsOpenAiDoes) {
  auto reply = Chat({{"max_tokens", 2048 - 13}}, "1");
  EXPECT_EQ(reply.status, 200);
  reply = Chat({{"max_tokens", 2048 - 12}}, "1");
  EXPECT_EQ(reply.status, 400);
  const Json error = reply.json()["error"];
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_THAT(error["message"].get<std::string>(),
              HasSubstr("maximum context length is 2048 tokens"));
  const Json prompt = {{"model", "llama2-7b"}, {"prompt", std::string(std::size_t{2048} * 4, 'x')}};
  EXPECT_EQ(Post("/v1/completions", prompt).status, 400);
}

TEST_F(EngineTest, RefusesWhatItDoesNotKnow) {
  auto reply = Post("/v1/chat/completions", {{"model", "gpt"}, {"messages", {"hi"}}});
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.json()["error"]["code"], "model_not_found");
  EXPECT_EQ(Call("POST", "/v1/chat/completions", "{").status, 400);
  reply = Call("GET", "/v1/chat/completions");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.json()["error"]["message"], "Use POST for /v1/chat/completions.");
  EXPECT_EQ(Call("POST", "/health", "{}").status, 405);
  EXPECT_EQ(Call("GET", "/nothing").status, 404);
  EXPECT_EQ(Chat({}, "many").status, 400);
  EXPECT_EQ(Chat({}, "0").status, 400);
}

TEST_F(EngineTest, ServesTheResponsesApi) {
  const Json body = {{"model", "llama2-7b"}, {"input", "12345678"}};
  const Json whole = Post("/v1/responses", body, "9").json();
  EXPECT_EQ(whole["object"], "response");
  EXPECT_EQ(whole["status"], "completed");
  EXPECT_EQ(whole["output"][0]["content"][0]["text"].get<std::string>().size(), 36U);
  EXPECT_EQ(whole["usage"]["input_tokens"], 6);
  EXPECT_EQ(whole["usage"]["output_tokens"], 9);

  Json cut = body;
  cut["max_output_tokens"] = 4;
  const Json incomplete = Post("/v1/responses", cut, "9").json();
  EXPECT_EQ(incomplete["status"], "incomplete");
  EXPECT_EQ(incomplete["incomplete_details"]["reason"], "max_output_tokens");
}

TEST_F(EngineTest, StreamsTheResponsesApiInItsOrderOfEvents) {
  const Json body = {{"model", "llama2-7b"}, {"input", "12345678"}, {"stream", true}};
  const auto reply = Post("/v1/responses", body, "9");
  EXPECT_THAT(reply.body, Not(HasSubstr("[DONE]")));
  std::vector<std::string> types;
  std::string text;
  int sequence = 0;
  for (const Json& event : reply.events()) {
    EXPECT_EQ(event["sequence_number"], sequence++);
    EXPECT_THAT(reply.body, HasSubstr("event: " + event["type"].get<std::string>() + "\n"));
    if (event["type"] == "response.output_text.delta") {
      text += event["delta"];
      if (types.back() == "response.output_text.delta") continue;
    }
    types.push_back(event["type"]);
  }
  EXPECT_THAT(types,
              ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                          "response.content_part.added", "response.output_text.delta",
                          "response.output_text.done", "response.content_part.done",
                          "response.output_item.done", "response.completed"));
  const Json last = reply.events().back()["response"];
  EXPECT_EQ(last["output"][0]["content"][0]["text"], text);
  EXPECT_EQ(last["usage"]["output_tokens"], 9);
}

TEST_F(EngineTest, EmbedsTheSameTextIntoTheSameVector) {
  const Json body = {{"model", "llama2-7b"}, {"input", {"one", "two", "one"}}, {"dimensions", 5}};
  const Json json = Post("/v1/embeddings", body).json();
  ASSERT_EQ(json["data"].size(), 3U);
  EXPECT_EQ(json["data"][1]["index"], 1);
  EXPECT_EQ(json["data"][0]["embedding"], json["data"][2]["embedding"]);
  EXPECT_NE(json["data"][0]["embedding"], json["data"][1]["embedding"]);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 3);
  double square = 0;
  for (const double value : json["data"][0]["embedding"]) square += value * value;
  EXPECT_NEAR(square, 1, 1e-5);

  Json packed = body;
  packed["encoding_format"] = "base64";
  // 5 floats are 20 bytes: 28 characters, one of them padding.
  const std::string base64 = Post("/v1/embeddings", packed).json()["data"][0]["embedding"];
  EXPECT_EQ(base64.size(), 28U);
  EXPECT_TRUE(base64.ends_with("="));
  const auto digit = [](char c) {
    return std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        .find(c);
  };
  std::string bytes;
  for (std::size_t at = 0; at < 8; at += 4) {
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      group = group << 6 | static_cast<std::uint32_t>(digit(base64[at + i]));
    }
    for (int shift = 16; shift >= 0; shift -= 8) bytes += static_cast<char>(group >> shift & 0xff);
  }
  float first = 0;
  std::memcpy(&first, bytes.data(), sizeof(first));
  EXPECT_NEAR(first, json["data"][0]["embedding"][0].get<double>(), 1e-6);
}

TEST_F(EngineTest, SaysWhatItIs) {
  EXPECT_EQ(Call("GET", "/health").status, 200);
  const Json models = Call("GET", "/v1/models").json();
  EXPECT_EQ(models["data"][0]["id"], "llama2-7b");
  EXPECT_EQ(models["data"][0]["max_model_len"], 2048);
  const Json tokens = Post("/tokenize", {{"model", "llama2-7b"}, {"prompt", "123456789"}}).json();
  EXPECT_EQ(tokens["count"], 3);
  EXPECT_EQ(tokens["tokens"].size(), 3U);
  EXPECT_EQ(tokens["max_model_len"], 2048);
}

TEST_F(EngineTest, CountsUnderTheNamesOfVllm) {
  Chat({}, "10");
  Chat({{"stream", true}, {"max_tokens", 20}}, "30");
  const std::string labels = R"({engine="0",model_name="llama2-7b"} )";
  EXPECT_EQ(Metric("vllm:prompt_tokens_total" + labels), 26);
  EXPECT_EQ(Metric("vllm:generation_tokens_total" + labels), 30);
  EXPECT_EQ(Metric("vllm:time_to_first_token_seconds_count" + labels), 2);
  EXPECT_EQ(Metric("vllm:inter_token_latency_seconds_count" + labels), 28);
  EXPECT_EQ(Metric("vllm:e2e_request_latency_seconds_count" + labels), 2);
  EXPECT_EQ(Metric("vllm:request_generation_tokens_sum" + labels), 30);
  EXPECT_EQ(Metric("vllm:num_requests_running" + labels), 0);
  EXPECT_EQ(Metric("vllm:num_requests_waiting" + labels), 0);
  EXPECT_EQ(Metric("vllm:kv_cache_usage_perc" + labels), 0);
  EXPECT_EQ(Metric(R"(vllm:request_success_total{engine="0",finished_reason="stop")"), 1);
  EXPECT_EQ(Metric(R"(vllm:request_success_total{engine="0",finished_reason="length")"), 1);
  const std::string text = Call("GET", "/metrics").body;
  EXPECT_THAT(text, HasSubstr(R"(block_size="16")"));
  EXPECT_THAT(text, HasSubstr(R"(num_gpu_blocks="600")"));
}

TEST_F(EngineTest, AClientThatGoesAwayLeavesTheEngineAtOnce) {
  options_.speed = 0.5;
  options_.engine.max_num_seqs = 1;
  const std::string running = R"(vllm:num_requests_running{engine="0",model_name="llama2-7b"} )";
  const std::string waiting = R"(vllm:num_requests_waiting{engine="0",model_name="llama2-7b"} )";
  const std::string body = R"({"model":"llama2-7b","prompt":"x","stream":true})";
  const auto request = [&](const char* path) {
    return std::string("POST ") + path +
           " HTTP/1.1\r\nhost: e\r\nx-headrace-output-tokens: 2000\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  net::RawPeer streaming(engine().address());
  ASSERT_TRUE(streaming.Send(request("/v1/completions")));
  AwaitMetric(running, 1);
  net::RawPeer queued(engine().address());
  ASSERT_TRUE(queued.Send(request("/v1/completions")));
  AwaitMetric(waiting, 1);
  queued.Close();
  AwaitMetric(waiting, 0);
  streaming.Close();
  AwaitMetric(running, 0);
  EXPECT_EQ(Metric(R"(vllm:request_success_total{engine="0",finished_reason="abort")"), 2);
  EXPECT_EQ(Metric(R"(vllm:kv_cache_usage_perc{engine="0",model_name="llama2-7b"} )"), 0);
}

TEST_F(EngineTest, StopsWhileItIsBusy) {
  options_.speed = 0.5;
  net::RawPeer peer(engine().address());
  const std::string body = R"({"model":"llama2-7b","prompt":"x","stream":true})";
  ASSERT_TRUE(peer.Send("POST /v1/completions HTTP/1.1\r\nhost: e\r\ncontent-length: " +
                        std::to_string(body.size()) + "\r\n\r\n" + body));
  AwaitMetric(R"(vllm:num_requests_running{engine="0",model_name="llama2-7b"} )", 1);
  engine_->Stop();
  engine_.reset();
}

TEST_F(EngineTest, SeveralEnginesLiveSideBySideAndTheSameSeedSaysTheSame) {
  const auto twin = MustStart(options_);
  options_.seed = 8;
  const auto other = MustStart(options_);
  const std::string body = R"({"model":"llama2-7b","prompt":"x"})";
  const auto text = [&](const EmulatedEngine& engine) {
    const system::SocketAddress address = engine.address();
    const Reply reply = net::RunTask<Reply>(threads_[0], [&]() -> net::Task<Reply> {
      return CallTask(address, "POST", "/v1/completions", body, "");
    });
    return reply.json()["choices"][0]["text"].get<std::string>();
  };
  options_.seed = 7;
  const std::string said = text(engine());
  EXPECT_EQ(text(*twin), said);
  EXPECT_NE(text(*other), said);
}

// Many requests at once, a third of them given up somewhere on the way.
TEST_F(EngineTest, EveryRequestIsServedOrDropped) {
  options_.speed = 50;
  options_.engine.kv_blocks = 128;  // Little room, so that some are preempted.
  const system::SocketAddress address = engine().address();
  std::vector<std::future<bool>> fates;
  fates.reserve(8);
  for (int worker = 0; worker < 8; ++worker) {
    fates.push_back(std::async(std::launch::async, [&, worker] {
      Rng rng(static_cast<std::uint64_t>(worker));
      for (int i = 0; i < 40; ++i) {
        const Json body = {{"model", "llama2-7b"},
                           {"prompt", std::string(rng.Below(2000), 'x')},
                           {"stream", rng.Below(2) == 0},
                           {"max_tokens", 1 + rng.Below(200)}};
        const std::string text = body.dump();
        net::RawPeer peer(address);
        if (!peer.Send("POST /v1/completions HTTP/1.1\r\nhost: e\r\ncontent-length: " +
                       std::to_string(text.size()) + "\r\n\r\n" + text)) {
          return false;
        }
        if (rng.Below(3) == 0) continue;
        const std::string end = body["stream"].get<bool>() ? "[DONE]" : "total_tokens";
        if (!peer.ReadUntil(end).ends_with(end)) return false;
      }
      return true;
    }));
  }
  for (auto& fate : fates) EXPECT_TRUE(fate.get());
  AwaitMetric(R"(vllm:num_requests_running{engine="0",model_name="llama2-7b"} )", 0);
  AwaitMetric(R"(vllm:num_requests_waiting{engine="0",model_name="llama2-7b"} )", 0);
  EXPECT_EQ(Metric(R"(vllm:kv_cache_usage_perc{engine="0",model_name="llama2-7b"} )"), 0);
}

TEST_F(EngineTest, SaysWhyItDoesNotStart) {
  options_.engine.kv_blocks = 1;
  auto refused = EmulatedEngine::Start(options_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("KV cache"));
}

}  // namespace
}  // namespace headrace::emulator
