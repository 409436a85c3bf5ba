// Fuzzes configuration files.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<std::string_view, 2> kPolicies = {"slo-headroom", "least-request"};
  const auto environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "A") return "127.0.0.1:1";
    return std::nullopt;
  };
  const auto config =
      headrace::config::LoadConfig(std::string_view(reinterpret_cast<const char*>(data), size),
                                   "h.yaml", kPolicies, environment);
  if (!config && !config.error().message.starts_with("h.yaml:")) std::abort();
  return 0;
}
