#include "openai/api_path.h"

#include <algorithm>
#include <iterator>

namespace headrace::openai {
namespace {

constexpr ApiPath kApiPaths[] = {
    {"/v1/chat/completions", ApiKind::kChatCompletions},
    {"/v1/completions", ApiKind::kCompletions},
    {"/v1/embeddings", ApiKind::kEmbeddings},
    {"/v1/responses", ApiKind::kResponses},
    {"/v1/messages", ApiKind::kMessages},
    {"/v1/messages/count_tokens"},
    {"/v1/rerank"},
    {"/v2/rerank"},
    {"/rerank"},
    {"/v1/score"},
    {"/score"},
    {"/classify"},
    {"/pooling"},
    {"/v2/embed"},
    {"/tokenize"},
    {"/detokenize"},
    {"/v1/audio/speech"},
    {"/v1/audio/transcriptions", ApiKind::kOther, true},
    {"/v1/audio/translations", ApiKind::kOther, true},
    {"/v1/images/generations"},
    {"/v1/images/edits", ApiKind::kOther, true},
    {"/v1/images/variations", ApiKind::kOther, true},
};

}  // namespace

std::span<const ApiPath> ApiPaths() { return kApiPaths; }

const ApiPath* FindApiPath(std::string_view path) {
  const auto found = std::ranges::find(kApiPaths, path, &ApiPath::path);
  return found == std::end(kApiPaths) ? nullptr : &*found;
}

std::string PlainPath(std::string_view path, std::string_view base) {
  std::string plain;
  for (const char c : path) {
    if (c != '/' || !plain.ends_with('/')) plain += c;
  }
  if (plain.size() > 1 && plain.ends_with('/')) plain.pop_back();
  const bool under_base = !base.empty() && plain.starts_with(base) &&
                          (plain.size() == base.size() || plain[base.size()] == '/');
  if (under_base) plain.erase(0, base.size());
  if (plain.empty()) plain = "/";
  if (plain.starts_with(kAzureV1Paths)) plain.replace(0, kAzureV1Paths.size(), "/v1/");
  return plain;
}

}  // namespace headrace::openai
