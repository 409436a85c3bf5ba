// Fuzzes the reader of responses, whole and streamed: cut anywhere, it sees and passes on the same.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "openai/response.h"

namespace headrace::openai {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

struct Read {
  std::string forwarded;
  std::uint64_t deltas = 0;
  std::uint64_t events = 0;
  std::optional<Usage> usage;
  bool complete = false;
  bool error = false;

  bool operator==(const Read&) const = default;
};

Read Feed(std::string_view bytes, std::size_t piece, ApiKind kind, ResponseStreamParser::Form form,
          bool hide_usage) {
  ResponseStreamParser parser(kind, form, hide_usage);
  Read read;
  std::vector<std::string_view> forward;
  const auto take = [&] {
    for (const std::string_view part : forward) read.forwarded += part;
    forward.clear();
  };
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    // A copy that is gone with the next one, as a read buffer's bytes are.
    const std::string part(bytes.substr(at, piece));
    parser.Feed(part, forward);
    take();
  }
  parser.Finish(forward);
  take();
  read.deltas = parser.deltas();
  read.usage = parser.usage();
  read.events = parser.events();
  read.complete = parser.complete();
  read.error = parser.error().has_value();
  return read;
}

}  // namespace
}  // namespace headrace::openai

// The first byte chooses the API, the form and whether usage is hidden; the second the cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::openai;
  using Form = ResponseStreamParser::Form;
  if (size < 2) return 0;
  constexpr ApiKind kKinds[] = {ApiKind::kChatCompletions, ApiKind::kCompletions,
                                ApiKind::kEmbeddings, ApiKind::kResponses};
  const ApiKind kind = data[0] & 16 ? ApiKind::kMessages : kKinds[data[0] % 4];
  const Form form = data[0] & 4 ? Form::kJson : Form::kEventStream;
  const bool hide_usage = form == Form::kEventStream && (data[0] & 8) != 0;
  const std::size_t piece = std::max<std::size_t>(1, data[1] % 64);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Read whole = Feed(bytes, bytes.size() + 1, kind, form, hide_usage);
  const Read cut = Feed(bytes, piece, kind, form, hide_usage);
  Check(whole == cut);
  if (!hide_usage) Check(whole.forwarded == bytes);
  for (const std::optional<Usage>& usage : {whole.usage, FindUsage(bytes)}) {
    if (usage) Check(usage->prompt_tokens >= 0 && usage->completion_tokens >= 0);
  }
  return 0;
}
