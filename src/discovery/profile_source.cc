#include "discovery/profile_source.h"

#include <utility>

namespace headrace::discovery {

bool ProfileSource::SetError(ProfileReading& reading, std::string error) {
  if (reading.error == error) return false;
  reading.error = std::move(error);
  return true;
}

void ProfileSource::SetText(ProfileReading& reading, std::string_view text) {
  auto parsed = profile::ParseGpuProfile(text, reading.origin);
  if (!parsed) {
    reading.error = parsed.error().message;
    return;
  }
  reading.profile = std::make_shared<profile::GpuProfile>(std::move(parsed->profile));
  reading.faults = std::move(parsed->faults);
  reading.error.clear();
}

}  // namespace headrace::discovery
