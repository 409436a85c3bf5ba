// Fuzzes URLs, queries and addresses.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "system/address.h"
#include "system/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::system;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseUrl(text);
  (void)ParseQuery(text);
  (void)IsPathAndQuery(text);
  if (const auto address = ParseHostPort(text)) {
    // It reads back as the same.
    if (ParseHostPort(address->ToString()).value() != *address) std::abort();
  }
  return 0;
}
