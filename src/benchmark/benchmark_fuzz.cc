// Fuzzes benchmark files, and the profiles that are generated from them.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "benchmark/generate.h"
#include "benchmark/import.h"
#include "benchmark/import_results.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::benchmark;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ImportAiConfigurator(text, "table", "");
  (void)ImportMelange(text, "melange", "A10G", {64, 128}, {32});
  if (const auto imported = ImportResults(text, "results", "m")) {
    for (const BenchmarkRow& row : imported->rows) {
      // What is written reads back.
      if (!ParseBenchmark(FormatBenchmarkRow(row), "row")) std::abort();
    }
  }
  const auto parsed = ParseBenchmark(text, "benchmark");
  if (!parsed) return 0;
  GenerateOptions options;
  options.deployment = "d";
  options.slo.e2e = 5;
  (void)GenerateProfile(*parsed, options);
  return 0;
}
