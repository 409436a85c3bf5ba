// Headers of clients: what is read of them can be written, and reads back as the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tracing/trace_context.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using headrace::tracing::ParseTraceContext;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = text.find('\n');
  const std::string_view state = line == text.npos ? std::string_view() : text.substr(line + 1);
  const auto context = ParseTraceContext(text.substr(0, line), state);
  if (!context) return 0;
  if (context->state.size() > 512) std::abort();
  if (ParseTraceContext(context->TraceParent(), context->state) != context) std::abort();
  return 0;
}
