// Walks the YAML text and collects every fault with its line.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/environment.h"
#include "config/yaml.h"

namespace headrace::config {

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
  // `whole` is what sentences call the text itself. Without an environment, `${NAME}` is a text
  // like any other.
  explicit ConfigReader(std::string file_name, std::string whole = "the configuration",
                        Environment environment = nullptr)
      : file_name_(std::move(file_name)),
        whole_(std::move(whole)),
        environment_(std::move(environment)) {}

  // Which group each option is in ("models[]"; empty: the text itself), so that one that is in the
  // wrong group can be told where it belongs.
  void SetGroups(std::multimap<std::string, std::string> groups) { groups_ = std::move(groups); }

  // The text's only document. Null, with a fault, if it cannot be read as YAML: then nothing in it
  // has a meaning.
  YamlRef Parse(std::string_view text);

  // `sentence` ends with the fix and has no full stop.
  void Fault(int line, std::string sentence);
  // What is odd, but no fault.
  void Warn(int line, std::string sentence);
  std::size_t faults() const { return faults_.size(); }
  // `file:line: sentence`, one per line, in the order of the lines; of very many, the first.
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
    std::size_t option;    // Its place in `names`.
    const YamlNode* node;  // Null if an unknown name is likely to mean the option.
  };
  // The options of a group that the text gives, without repeated ones; one fault for each unknown
  // or repeated one.
  // Nullopt, with a fault, if the node is not a group. An empty group is the same as none.
  std::optional<std::vector<Child>> Children(const YamlNode& node,
                                             std::span<const std::string_view> names,
                                             std::span<const FormerName> former);
  // Nullopt, with a fault, if the node is not a list or has no items. `example` is what to write.
  std::optional<std::vector<YamlRef>> Items(const YamlNode& node, std::string_view name,
                                            std::string_view example);
  struct Scalar {
    std::string text;  // With the values of the environment variables that it names.
    // As a sentence may show it: what comes from the environment may be a secret.
    std::string shown;
  };
  // Nullopt, with a fault, if the node is not a single value or names a variable that is not set.
  std::optional<Scalar> ReadScalar(const YamlNode& node, std::string_view name,
                                   std::string_view example);

  // A fault if the same value was given before under the same `scope`.
  void RequireUnique(const std::string& scope, const std::string& value, const std::string& shown,
                     int line, std::string_view name);

 private:
  std::string WhyUnknown(std::string_view name, std::span<const std::string_view> names) const;

  std::string file_name_;
  std::string whole_;
  Environment environment_;
  std::multimap<std::string, std::string> groups_;  // By the option's name.
  std::string path_;
  std::multimap<int, std::string> faults_;  // By line; equal lines in the order found.
  std::multimap<int, std::string> warnings_;
  std::map<std::pair<std::string, std::string>, int> lines_of_values_;
};

// The line of a group's option, or of the group if the text does not give the option.
int LineOf(const YamlNode& group, std::string_view option);

// A text from the file within a sentence: quoted, on one line and not too long, without the
// password of a URL.
std::string Quote(std::string_view text);

}  // namespace headrace::config
