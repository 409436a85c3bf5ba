// Fuzzes profiles: one that is taken holds only what can be routed by, and reads back as written.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "profile/gpu_profile.h"

namespace headrace::profile {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace
}  // namespace headrace::profile

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::profile;
  const auto parsed =
      ParseGpuProfile(std::string_view(reinterpret_cast<const char*>(data), size), "profile");
  if (!parsed) {
    Check(!parsed.error().message.empty());
    return 0;
  }
  const GpuProfile& profile = parsed->profile;
  Check(!profile.outputs.centres().empty() && !profile.inputs.centres().empty());
  for (const double tput : profile.tput.values()) Check(std::isnan(tput) || tput >= 0);
  for (const headrace::Tokens tokens : {1, 1000, 1 << 30}) {
    const ProfileCell cell = profile.Find(tokens, tokens);
    Check(cell.output < profile.outputs.size() && cell.input < profile.inputs.size());
  }
  const auto again = ParseGpuProfile(FormatGpuProfile(profile), "again");
  Check(again.has_value() && again->profile.deployment == profile.deployment);
  return 0;
}
