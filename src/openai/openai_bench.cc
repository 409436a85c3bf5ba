// What a request's body and each event of a response cost the gateway.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>

#include "openai/request.h"
#include "openai/response.h"

namespace headrace::openai {
namespace {

// A chat request of about `size` bytes whose text is `unit` over and over (JSON-escaped).
std::string ChatBody(std::size_t size, const std::string& unit) {
  std::string text;
  while (text.size() < size) text += unit;
  return R"({"model":"llama2-7b","messages":[{"role":"system","content":"You are helpful."},)"
         R"({"role":"user","content":")" +
         text + R"("}],"max_tokens":256,"temperature":0.7,"stream":true})";
}

void ScanBody(::benchmark::State& state, const std::string& unit) {
  std::string body = ChatBody(static_cast<std::size_t>(state.range(0)), unit);
  RequestScanner scanner;
  for (auto _ : state) {
    auto facts = scanner.Scan(ApiKind::kChatCompletions, body);
    ::benchmark::DoNotOptimize(facts);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}

void BM_ScanProse(::benchmark::State& state) {
  ScanBody(state, "The quick brown fox jumps over the lazy dog, and then it goes home again. ");
}
void BM_ScanCode(::benchmark::State& state) {
  ScanBody(state, R"(  if (name == \"x\") {\n    return value + 1;  // why\n  }\n)");
}
void BM_ScanEscapedUnicode(::benchmark::State& state) {
  ScanBody(state, R"(\u65e5\u672c\u8a9e\u306e\u6587\u7ae0 )");
}
BENCHMARK(BM_ScanProse)->Arg(1000)->Arg(16'000)->Arg(200'000);
BENCHMARK(BM_ScanCode)->Arg(1000)->Arg(200'000);
BENCHMARK(BM_ScanEscapedUnicode)->Arg(200'000);

// The bar: how fast this machine copies the same bytes.
void BM_CopyBody(::benchmark::State& state) {
  const std::string body(static_cast<std::size_t>(state.range(0)), 'x');
  std::string copy(body.size(), 'y');
  for (auto _ : state) {
    std::memcpy(copy.data(), body.data(), body.size());
    ::benchmark::DoNotOptimize(copy.data());
    ::benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}
BENCHMARK(BM_CopyBody)->Arg(200'000);

const std::string kEvent =
    R"(data: {"id":"chatcmpl-7f3a5c0e9d2b41c8a6e4","object":"chat.completion.chunk","created":1795459200,)"
    R"("model":"llama2-7b","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,)"
    R"("finish_reason":null}]})"
    "\n\n";

// `range(0)` events a read, as they come from an engine.
void MeterEvents(::benchmark::State& state, bool hide) {
  std::string read;
  for (int i = 0; i < state.range(0); ++i) read += kEvent;
  ResponseStreamParser meter(ApiKind::kChatCompletions, ResponseStreamParser::Form::kEventStream,
                             hide);
  std::vector<std::string_view> forward;
  for (auto _ : state) {
    forward.clear();
    meter.Feed(read, forward);
    ::benchmark::DoNotOptimize(forward.data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
void BM_MeterEvents(::benchmark::State& state) { MeterEvents(state, false); }
void BM_MeterEventsHidingUsage(::benchmark::State& state) { MeterEvents(state, true); }
BENCHMARK(BM_MeterEvents)->Arg(1)->Arg(16);
BENCHMARK(BM_MeterEventsHidingUsage)->Arg(1)->Arg(16);

// An embedding's response: long, and only its end matters.
void BM_MeterJson(::benchmark::State& state) {
  std::string body = R"({"data":[{"embedding":[)";
  while (body.size() < 100'000) body += "-0.0123456,";
  body += R"(0]}],"usage":{"prompt_tokens":8,"total_tokens":8}})";
  std::vector<std::string_view> forward;
  for (auto _ : state) {
    ResponseStreamParser meter(ApiKind::kEmbeddings, ResponseStreamParser::Form::kJson, false);
    for (std::size_t at = 0; at < body.size(); at += 65'536) {
      forward.clear();
      meter.Feed(std::string_view(body).substr(at, 65'536), forward);
    }
    ::benchmark::DoNotOptimize(meter.usage());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}
BENCHMARK(BM_MeterJson);

}  // namespace
}  // namespace headrace::openai
