#include "config/difference.h"

#include <string_view>

#include "config/config_schema.h"
#include "config/listeners.h"

namespace headrace::config {
namespace {

// Options that are live for themselves, but not where the listener changes more than they say.
void HoldBack(std::string_view listener, const ListenerConfig& before, const ListenerConfig& after,
              std::vector<OptionChange>& changes) {
  if (CanTakeOverTls(before, after)) return;
  for (OptionChange& change : changes) {
    if (change.path.starts_with(listener)) change.live = false;
  }
}

}  // namespace

std::vector<OptionChange> Difference(const Config& before, const Config& after) {
  std::vector<OptionChange> changes;
  ConfigSchema({}).Compare(before, after, "", changes);
  HoldBack("listen.", before.listen, after.listen, changes);
  HoldBack("admin.", before.admin, after.admin, changes);
  return changes;
}

}  // namespace headrace::config
