#include "discovery/profile_source.h"

#include <utility>

namespace headrace::discovery {

bool ProfileSource::SetError(ProfileReading& reading, std::string error, bool missing) {
  reading.missing = missing;
  if (reading.error == error) return false;
  reading.error = std::move(error);
  return true;
}

void ProfileSource::SetText(ProfileReading& reading, std::string_view text) {
  reading.missing = false;
  auto parsed = profile::ParseGpuProfile(text, reading.origin);
  if (!parsed) {
    reading.error = parsed.error().message;
    return;
  }
  // Every request would be refused by it, where the fallback may still serve some in time.
  if (!profile::HasUsableCell(parsed->profile)) {
    reading.error =
        reading.origin +
        ": `tputs` has no cell above 0, so no request can be routed with it; loosen the "
        "SLO or measure lower request rates, then generate the profile again.";
    return;
  }
  reading.profile = std::make_shared<profile::GpuProfile>(std::move(parsed->profile));
  reading.faults = std::move(parsed->faults);
  reading.error.clear();
}

}  // namespace headrace::discovery
