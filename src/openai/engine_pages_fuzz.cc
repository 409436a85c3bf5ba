// Fuzzes what engines say of themselves: /v1/models and /metrics.
#include <cstdint>
#include <cstdlib>

#include "openai/engine_metrics.h"
#include "openai/model_list.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::openai;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (KvTokensIn(text) < 0) std::abort();
  if (const auto models = ParseModelList(text)) {
    for (const ListedModel& model : *models) {
      if (model.max_model_len < 0) std::abort();
    }
  }
  return 0;
}
