// What to change in a text that is not YAML.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace headrace::config {

struct YamlRepair {
  int line = 1;
  std::string fix;  // "indent it by 4 spaces".
};

// The one change of one line that makes the text valid, if one is found: another indentation, a
// space after a colon, quotes, a closing bracket. `line` is where the text cannot go on, `begun`
// where that began which is not complete. Each change is tried: `is_valid` says whether a text can
// be read.
std::optional<YamlRepair> FindYamlRepair(std::string_view text, int line, int begun,
                                         const std::function<bool(const std::string&)>& is_valid);

}  // namespace headrace::config
