#include "net/retry_after.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <ctime>
#include <string>

namespace headrace::net {

Seconds ParseRetryAfter(std::string_view value, Seconds unix_now) {
  std::uint32_t seconds = 0;
  const char* const end = value.data() + value.size();
  if (const auto [at, error] = std::from_chars(value.data(), end, seconds); at == end) {
    return error == std::errc() ? seconds : 0;
  }
  // The preferred form, then the two that are obsolete.
  const std::string text(value);
  for (const char* form :
       {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"}) {
    std::tm parts = {};
    const char* rest = strptime(text.c_str(), form, &parts);
    if (rest == nullptr || *rest != '\0') continue;
    return std::max(0.0, static_cast<Seconds>(timegm(&parts)) - unix_now);
  }
  return 0;
}

}  // namespace headrace::net
