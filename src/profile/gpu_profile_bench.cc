#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "profile/gpu_profile.h"

namespace headrace::profile {
namespace {

// As large as the profiles that users have: 12 × 12 buckets with four matrices.
GpuProfile SampleProfile() {
  std::vector<Tokens> outputs, inputs;
  for (int bucket = 0; bucket < 12; ++bucket) {
    outputs.push_back(4 << bucket);
    inputs.push_back(16 << bucket);
  }
  GpuProfile profile;
  profile.deployment = "llama2-7b-a10";
  profile.outputs = BucketAxis(outputs);
  profile.inputs = BucketAxis(inputs);
  Rng rng(1);
  const auto fill = [&] {
    BucketMatrix matrix(12, 12, 0);
    for (std::size_t row = 0; row < 12; ++row) {
      for (std::size_t column = 0; column < 12; ++column)
        matrix.at(row, column) = rng.Uniform() + 1;
    }
    return matrix;
  };
  profile.tput = fill();
  profile.e2e = fill();
  profile.ttft = fill();
  profile.tpot = fill();
  return profile;
}

void BM_Lookup(::benchmark::State& state) {
  const GpuProfile profile = SampleProfile();
  Rng rng(2);
  std::vector<std::pair<Tokens, Tokens>> requests(4096);
  for (auto& [prompt, output] : requests) {
    prompt = static_cast<Tokens>(1 + rng.Below(40000));
    output = static_cast<Tokens>(1 + rng.Below(10000));
  }
  std::size_t next = 0;
  for (auto _ : state) {
    const auto [prompt, output] = requests[next++ % requests.size()];
    const ProfileCell cell = profile.Find(prompt, output);
    ::benchmark::DoNotOptimize(profile.tput.at(cell.output, cell.input) *
                               profile.e2e->at(cell.output, cell.input));
  }
}
BENCHMARK(BM_Lookup);

void BM_Parse1000Profiles(::benchmark::State& state) {
  const std::string json = FormatGpuProfile(SampleProfile());
  for (auto _ : state) {
    for (int i = 0; i < 1000; ++i) ::benchmark::DoNotOptimize(ParseGpuProfile(json, "bench"));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * 1000 * json.size()));
}
BENCHMARK(BM_Parse1000Profiles)->Unit(::benchmark::kMillisecond);

}  // namespace
}  // namespace headrace::profile
