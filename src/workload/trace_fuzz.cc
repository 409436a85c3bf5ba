// Fuzzes files of requests and tables of lengths.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "workload/lengths.h"
#include "workload/trace.h"
#include "workload/trace_summary.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::workload;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto file = ReadRequests(text, "trace", 1)) {
    if (file->rows.empty()) std::abort();
    BeginAtZero({&file->rows, 1});
    headrace::Seconds last = 0;
    for (const TraceRow& row : file->rows) {
      if (!(row.at >= last) || row.length.prompt_tokens < 1 || row.length.output_tokens < 1) {
        std::abort();
      }
      last = row.at;
    }
    if (!(MeanRate(file->rows) >= 0) || !(Summarize(*file).gap_cv >= 0)) std::abort();
  }
  if (const auto lengths = ParseLengthCsv(text, "lengths"); lengths && lengths->empty()) {
    std::abort();
  }
  return 0;
}
