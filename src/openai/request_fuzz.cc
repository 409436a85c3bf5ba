// Fuzzes the scanner of requests: what it takes is JSON, and stays the same request with its edit.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "openai/request.h"

namespace headrace::openai {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void Scan(ApiKind kind, const std::string& text) {
  static RequestScanner scanner;
  std::string body = text;
  const auto facts = scanner.Scan(kind, body);
  Check(body == text);
  if (!facts) {
    Check(facts.error().status == 400 && !facts.error().message.empty());
    return;
  }
  Check(!facts->model.empty() && facts->choices >= 1 && facts->prompts >= 1);
  Check(!facts->max_tokens || *facts->max_tokens >= 1);
  Check(facts->prompt_bytes <= text.size() && facts->prompt_token_ids <= text.size());
  if (!facts->ask_for_usage) return;
  const BodySplice& splice = *facts->ask_for_usage;
  Check(splice.offset + splice.erase <= text.size());
  std::string edited = text;
  edited.replace(splice.offset, splice.erase, splice.insert);
  const auto again = scanner.Scan(kind, edited);
  Check(again.has_value() && again->usage_asked && !again->ask_for_usage);
  Check(again->model == facts->model && again->prompt_bytes == facts->prompt_bytes);
}

}  // namespace
}  // namespace headrace::openai

// The first byte chooses the API.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::openai;
  if (size == 0) return 0;
  constexpr ApiKind kKinds[] = {ApiKind::kChatCompletions, ApiKind::kCompletions,
                                ApiKind::kEmbeddings, ApiKind::kResponses};
  Scan(kKinds[data[0] % 4], std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  return 0;
}
