// Fuzzes the scanner of requests: what it takes is JSON, and stays the same request with its edit.
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>

#include "openai/request.h"

namespace headrace::openai {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

std::string Edited(std::string text, const BodySplice& splice) {
  Check(splice.offset + splice.erase <= text.size());
  return text.replace(splice.offset, splice.erase, splice.insert);
}

// Told to name another model, the body does, and is otherwise the same.
void CheckNamed(ApiKind kind, const RequestFacts& facts, const std::string& text) {
  static RequestScanner scanner;
  std::string edited = Edited(text, NameModel(facts.model_at, "a \"model\""));
  const auto again = scanner.Scan(kind, edited);
  Check(again.has_value() && again->model == "a \"model\"");
  Check(again->prompt_bytes == facts.prompt_bytes && again->max_tokens == facts.max_tokens);
}

void ScanForm(const std::string& text) {
  const std::string type = "multipart/form-data; boundary=xyz";
  const auto facts = RequestScanner::ScanForm(type, text);
  if (!facts) {
    Check(facts.error().status == 400 && !facts.error().message.empty());
    return;
  }
  const std::string edited = Edited(text, NameModel(facts->model_at, "tiny"));
  const auto again = RequestScanner::ScanForm(type, edited);
  Check(again.has_value() && again->model == "tiny");
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
  Check(facts->choices >= 1 && facts->prompts >= 1);
  CheckNamed(kind, *facts, text);
  Check(!facts->max_tokens || *facts->max_tokens >= 1);
  Check(facts->prompt_bytes <= text.size() && facts->prompt_token_ids <= text.size());
  if (!facts->ask_for_usage) return;
  std::string edited = Edited(text, *facts->ask_for_usage);
  const auto again = scanner.Scan(kind, edited);
  Check(again.has_value() && again->usage_asked && !again->ask_for_usage);
  Check(again->model == facts->model && again->prompt_bytes == facts->prompt_bytes);
}

}  // namespace
}  // namespace headrace::openai

// The first byte chooses the API, or a form.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::openai;
  if (size == 0) return 0;
  constexpr ApiKind kKinds[] = {ApiKind::kChatCompletions, ApiKind::kCompletions,
                                ApiKind::kEmbeddings,      ApiKind::kResponses,
                                ApiKind::kMessages,        ApiKind::kOther};
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t choice = data[0] % (std::size(kKinds) + 1);
  if (choice < std::size(kKinds)) {
    Scan(kKinds[choice], text);
  } else {
    ScanForm(text);
  }
  return 0;
}
