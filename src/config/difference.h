// What differs between two configurations.
#pragma once

#include <string>
#include <vector>

namespace headrace::config {

struct Config;

struct OptionChange {
  enum class Kind { kChanged, kAdded, kRemoved };  // The latter two of items of a list.
  // As in the file, items by their names: `models[llama2-7b].queue.max_length`.
  std::string path;
  Kind kind = Kind::kChanged;
  bool live = false;  // Whether a running gateway can take it over; otherwise it needs a restart.
  // The values, as they would be written; empty where there is none, where it is a secret, and of
  // an item that was added or removed.
  std::string before = {};
  std::string after = {};

  bool operator==(const OptionChange&) const = default;
};

// In the order of the reference. It comes from the schema, so that no option is forgotten. Models
// and deployments are matched by their names: one that is renamed is removed and added. Their order
// means nothing.
std::vector<OptionChange> Difference(const Config& before, const Config& after);

}  // namespace headrace::config
