#include <benchmark/benchmark.h>

#include "emulator/responses.h"

namespace headrace::emulator {
namespace {

// What one streamed token costs before it is written to the socket.
void BM_StreamedToken(::benchmark::State& state) {
  EngineRequest request;
  request.model = "llama2-7b";
  Rng rng(1);
  const OutputPlan plan = PlanOutput(request, 1000, 1000, rng);
  std::optional<CompletionWriter> writer;
  Tokens sent = plan.tokens;
  while (state.KeepRunning()) {
    if (sent == plan.tokens) {
      writer.emplace(openai::ApiKind::kChatCompletions, request, plan, "0123456789abcdef",
                     1'700'000'000);
      sent = 0;
    }
    ::benchmark::DoNotOptimize(writer->Event(++sent));
  }
}
BENCHMARK(BM_StreamedToken);

}  // namespace
}  // namespace headrace::emulator
