#include "config/difference.h"

#include "config/config_schema.h"

namespace headrace::config {

std::vector<OptionChange> Difference(const Config& before, const Config& after) {
  std::vector<OptionChange> changes;
  ConfigSchema({}).Compare(before, after, "", changes);
  return changes;
}

}  // namespace headrace::config
