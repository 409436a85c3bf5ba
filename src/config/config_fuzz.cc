// Fuzzes configuration files.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<std::string_view, 2> kPolicies = {"slo-headroom", "least-request"};
  const auto config = headrace::config::LoadConfig(
      std::string_view(reinterpret_cast<const char*>(data), size), "h.yaml", kPolicies);
  if (!config && config.error().message.empty()) std::abort();
  return 0;
}
