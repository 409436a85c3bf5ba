#include "config/environment.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/text.h"

namespace headrace::config {
namespace {

constexpr std::size_t kMostBytes = 64 << 10;

bool IsName(std::string_view text) {
  return !text.empty() && std::isdigit(text.front() & 0xff) == 0 &&
         std::ranges::all_of(text, [](char c) { return std::isalnum(c & 0xff) != 0 || c == '_'; });
}

}  // namespace

Result<std::string> Expand(std::string_view text, const Environment& environment) {
  std::string expanded;
  for (std::size_t at = 0;;) {
    const std::size_t begin = text.find("${", at);
    expanded += text.substr(at, begin - at);
    if (begin == std::string_view::npos) break;
    if (begin > at && text[begin - 1] == '$') {  // `$${`: one of the two is there already.
      expanded += '{';
      at = begin + 2;
      continue;
    }
    const std::size_t end = text.find('}', begin);
    const std::string_view inside =
        end == std::string_view::npos ? "" : text.substr(begin + 2, end - begin - 2);
    const std::size_t colon = inside.find(":-");
    const std::string name(inside.substr(0, colon));
    if (!IsName(name)) {
      return Fail(
          "has a `${` that is not followed by the name of an environment variable and `}`; write "
          "`${NAME}` or `${NAME:-default}`, or `$${` for the text `${`");
    }
    std::optional<std::string> value = environment(name);
    if (colon != std::string_view::npos && (!value || value->empty())) {
      value = inside.substr(colon + 2);
    }
    if (!value) {
      return Fail("names the environment variable " + Excerpt(name) +
                  ", which is not set; set it, or write `${" + Excerpt(name) +
                  ":-default}` with a value for this case");
    }
    expanded += *value;
    if (expanded.size() > kMostBytes) {
      return Fail("has more than 64 KiB with the environment's values; shorten them");
    }
    at = end + 1;
  }
  return expanded;
}

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace headrace::config
