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

}  // namespace headrace::openai
