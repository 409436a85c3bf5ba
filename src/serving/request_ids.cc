#include "serving/request_ids.h"

#include <algorithm>
#include <memory>
#include <random>

namespace headrace::serving {
namespace {

constexpr std::size_t kLongestRequestId = 200;

std::uint64_t Seed(const std::function<std::uint32_t()>& entropy) {
  const std::uint64_t high = entropy();
  return high << 32 | entropy();
}

}  // namespace

bool UsableRequestId(std::string_view id) {
  const bool printable = std::ranges::all_of(id, [](char c) { return c >= 0x20 && c < 0x7F; });
  // Browsers take these for folders: nobody could open /explain/.. there.
  const bool folder = id == "." || id == "..";
  return printable && !folder && !id.empty() && id.size() <= kLongestRequestId;
}

RequestIds::RequestIds()
    : RequestIds([device = std::make_shared<std::random_device>()] { return (*device)(); }) {}

RequestIds::RequestIds(const std::function<std::uint32_t()>& entropy)
    : high_(Seed(entropy)), low_(Seed(entropy)) {}

std::string RequestIds::Next() {
  std::string text(32, '0');
  std::size_t at = text.size();
  for (std::uint64_t half : {low_.Next(), high_.Next()}) {
    for (int digit = 0; digit < 16; ++digit, half >>= 4) text[--at] = "0123456789abcdef"[half & 15];
  }
  return text;
}

}  // namespace headrace::serving
