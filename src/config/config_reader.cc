#include "config/config_reader.h"

#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <cctype>
#include <exception>
#include <sstream>
#include <utility>

#include "config/option_form.h"

namespace headrace::config {
namespace {

// yaml-cpp counts from 0 and marks an empty text with −1.
int LineOf(const YAML::Mark& mark) { return std::max(mark.line, 0) + 1; }

std::string_view KindOf(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      return "a single value";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Map:
      return "a group of options";
    default:
      return "nothing";
  }
}

// Hears where the root of a document is.
class RootPlace final : public YAML::EventHandler {
 public:
  const YAML::Mark& mark() const { return mark_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { Hear(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { Hear(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                const std::string&) override {
    Hear(mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    Hear(mark);
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    Hear(mark);
  }
  void OnMapEnd() override {}

 private:
  void Hear(const YAML::Mark& mark) {
    if (mark_.is_null()) mark_ = mark;
  }

  YAML::Mark mark_ = YAML::Mark::null_mark();
};

}  // namespace

void ConfigReader::Fault(const YAML::Mark& mark, std::string sentence) {
  faults_.emplace(LineOf(mark), std::move(sentence));
}

void ConfigReader::Warn(const YAML::Mark& mark, std::string sentence) {
  warnings_.emplace(LineOf(mark), std::move(sentence));
}

std::string ConfigReader::FaultText() const {
  std::string text;
  for (const auto& [line, sentence] : faults_) {
    if (!text.empty()) text += '\n';
    text += file_name_ + ":" + std::to_string(line) + ": " + sentence;
  }
  return text;
}

std::vector<std::string> ConfigReader::Warnings() const {
  std::vector<std::string> sentences;
  for (const auto& [line, sentence] : warnings_) {
    sentences.push_back(file_name_ + ":" + std::to_string(line) + ": " + sentence);
  }
  return sentences;
}

std::string ConfigReader::PathOf(std::string_view name) const {
  if (path_.empty() || name.starts_with('[')) return path_ + std::string(name);
  return path_ + "." + std::string(name);
}

std::optional<std::vector<ConfigReader::Child>> ConfigReader::Children(
    const LocatedNode& node, std::span<const std::string_view> names,
    std::span<const FormerName> former) {
  std::vector<Child> children;
  if (node.yaml.IsNull()) return children;
  if (!node.yaml.IsMap()) {
    Fault(node.mark, group() + " has to be a group of options and is " +
                         std::string(KindOf(node.yaml)) + "; write options like `" +
                         std::string(names.front()) + ": …` in it");
    return std::nullopt;
  }
  std::map<std::size_t, int> first_line;  // By option.
  for (const auto& item : node.yaml) {
    const YAML::Node& key = item.first;
    const std::string name = key.IsScalar() ? key.Scalar() : "";
    auto option = static_cast<std::size_t>(std::ranges::find(names, name) - names.begin());
    if (option == names.size()) {
      const auto found = std::ranges::find(former, name, &FormerName::name);
      if (found == former.end()) {
        Fault(key.Mark(), "the option " + Quote(PathOf(name)) + " " + NotOneOf(name, names));
        continue;
      }
      if (!found->option) {
        Fault(key.Mark(), PathOf(name) + " " + found->why);
        continue;
      }
      option = *found->option;
    }
    const auto [seen, fresh] = first_line.emplace(option, LineOf(key.Mark()));
    if (!fresh) {
      Fault(key.Mark(), PathOf(name) + " is given twice, first on line " +
                            std::to_string(seen->second) + "; remove one of the two");
      continue;
    }
    const YAML::Node& value = item.second;
    children.push_back({option, {value, value.IsNull() ? key.Mark() : value.Mark()}});
  }
  return children;
}

std::optional<std::vector<LocatedNode>> ConfigReader::Items(const LocatedNode& node,
                                                            std::string_view name,
                                                            std::string_view example) {
  const std::string fix = "; write at least one item, like `" + std::string(example) + "`";
  if (!node.yaml.IsSequence() && !node.yaml.IsNull()) {
    Fault(node.mark,
          PathOf(name) + " has to be a list and is " + std::string(KindOf(node.yaml)) + fix);
    return std::nullopt;
  }
  if (node.yaml.size() == 0) {
    Fault(node.mark, PathOf(name) + " is empty" + fix);
    return std::nullopt;
  }
  std::vector<LocatedNode> items;
  for (const YAML::Node& item : node.yaml) items.push_back({item, item.Mark()});
  return items;
}

std::optional<std::string> ConfigReader::Scalar(const LocatedNode& node, std::string_view name,
                                                std::string_view example) {
  if (node.yaml.IsScalar()) return node.yaml.Scalar();
  Fault(node.mark, PathOf(name) + " has to be a single value and is " +
                       std::string(KindOf(node.yaml)) + "; write one like `" +
                       std::string(example) + "`");
  return std::nullopt;
}

void ConfigReader::RequireUnique(const std::string& scope, const std::string& value,
                                 const YAML::Mark& mark, std::string_view name) {
  const auto [seen, fresh] = lines_of_values_.emplace(std::pair(scope, value), LineOf(mark));
  if (fresh) return;
  Fault(mark, PathOf(name) + " " + Quote(value) + " is already used on line " +
                  std::to_string(seen->second) + "; remove one of them or write another");
}

std::optional<YAML::Node> ParseYaml(std::string_view text, ConfigReader& reader) {
  try {
    // Not LoadAll: it never ends where a document cannot begin with what comes next, as with `,`.
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    RootPlace first;
    RootPlace second;
    if (!parser.HandleNextDocument(first)) return YAML::Node();
    if (!parser.HandleNextDocument(second)) return YAML::Load(std::string(text));
    if (second.mark().pos == first.mark().pos) {
      throw YAML::ParserException(first.mark(), "nothing can begin like this");
    }
    reader.Fault(
        second.mark(),
        "a second YAML document begins here; keep one of them and remove the `---` between");
  } catch (const YAML::Exception& error) {
    reader.Fault(error.mark, "this is not valid YAML (" + error.msg +
                                 "); check the indentation, the brackets and the quotes here and "
                                 "on the line before");
  } catch (const std::exception& error) {
    reader.Fault(YAML::Mark::null_mark(), "this is not valid YAML (" + std::string(error.what()) +
                                              "); write it as in docs/configuration.md");
  }
  return std::nullopt;
}

YAML::Mark MarkOf(const LocatedNode& group, const std::string& option) {
  if (group.yaml.IsMap()) {
    const YAML::Node& yaml = group.yaml;  // Const, or yaml-cpp would add what it does not find.
    if (const YAML::Node child = yaml[option]) return child.Mark();
  }
  return group.mark;
}

std::string Quote(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  std::string quoted = "\"";
  for (const char c : text) {
    // Not in the middle of a character of several bytes.
    if (quoted.size() > kLongest && (c & 0xc0) != 0x80) return quoted + "…\"";
    quoted += std::iscntrl(c & 0xff) != 0 ? '?' : c;
  }
  return quoted + "\"";
}

}  // namespace headrace::config
