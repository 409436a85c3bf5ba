// Walks the YAML text and collects every fault with its line.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::config {

// A piece of the text and its place. yaml-cpp marks an empty value where the next one begins, so an
// empty one gets the place of its option's name.
struct LocatedNode {
  YAML::Node yaml;
  YAML::Mark mark;
};

// A name that an option had once, or the name of an option that is gone.
struct FormerName {
  std::string name;
  std::optional<std::size_t> option = std::nullopt;  // Its place among the names; nullopt if gone.
  std::string why = {};  // Of one that is gone: the rest of a sentence about it, with the fix.
};

// Lives for the reading of one text; the option groups (option_group.h) drive it. It knows their
// place in the tree of options, so that a sentence can name the option in full.
class ConfigReader {
 public:
  // `whole` is what sentences call the text itself.
  explicit ConfigReader(std::string file_name, std::string whole = "the configuration")
      : file_name_(std::move(file_name)), whole_(std::move(whole)) {}

  // `sentence` ends with the fix and has no full stop.
  void Fault(const YAML::Mark& mark, std::string sentence);
  // What is odd, but no fault.
  void Warn(const YAML::Mark& mark, std::string sentence);
  std::size_t faults() const { return faults_.size(); }
  // `file:line: sentence`, one per line, in the order of the lines.
  std::string FaultText() const;
  // The same of what was warned of.
  std::vector<std::string> Warnings() const;

  // While it lives, names are those inside `name`.
  class Inside {
   public:
    Inside(ConfigReader& reader, const std::string& name) : reader_(reader), before_(reader.path_) {
      reader.path_ = reader.PathOf(name);
    }
    ~Inside() { reader_.path_ = before_; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    ConfigReader& reader_;
    std::string before_;
  };
  // `models[0].name` for `name` inside the first model.
  std::string PathOf(std::string_view name) const;
  const std::string& path() const { return path_; }
  // The group that the reader is in, for a sentence.
  const std::string& group() const { return path_.empty() ? whole_ : path_; }

  struct Child {
    std::size_t option;  // Its place in `names`.
    LocatedNode node;
  };
  // The options of a group that the text gives, without unknown and repeated ones (one fault each).
  // Nullopt, with a fault, if the node is not a group. An empty group is the same as none.
  std::optional<std::vector<Child>> Children(const LocatedNode& node,
                                             std::span<const std::string_view> names,
                                             std::span<const FormerName> former);
  // Nullopt, with a fault, if the node is not a list or has no items. `example` is what to write.
  std::optional<std::vector<LocatedNode>> Items(const LocatedNode& node, std::string_view name,
                                                std::string_view example);
  // Nullopt, with a fault, if the node is not a single value.
  std::optional<std::string> Scalar(const LocatedNode& node, std::string_view name,
                                    std::string_view example);

  // A fault if the same value was given before under the same `scope`.
  void RequireUnique(const std::string& scope, const std::string& value, const YAML::Mark& mark,
                     std::string_view name);

 private:
  std::string file_name_;
  std::string whole_;
  std::string path_;
  std::multimap<int, std::string> faults_;  // By line; equal lines in the order found.
  std::multimap<int, std::string> warnings_;
  std::map<std::pair<std::string, std::string>, int> lines_of_values_;
};

// The text's only document. An error of YAML itself ends the reading (nullopt, with a fault): what
// follows it has no meaning.
std::optional<YAML::Node> ParseYaml(std::string_view text, ConfigReader& reader);

// The place of a group's option, or of the group if the text does not give the option.
YAML::Mark MarkOf(const LocatedNode& group, const std::string& option);

// A text from the file within a sentence: quoted, on one line and not too long.
std::string Quote(std::string_view text);

}  // namespace headrace::config
