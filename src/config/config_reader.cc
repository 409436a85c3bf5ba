#include "config/config_reader.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/nearest_name.h"
#include "config/environment.h"
#include "config/option_form.h"

namespace headrace::config {
namespace {

constexpr std::size_t kMostFaults = 100;  // That are shown.

std::string_view KindOf(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kValue:
      return "a single value";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a group of options";
    case YamlNode::Kind::kNothing:
      break;
  }
  return "nothing";
}

}  // namespace

YamlRef ConfigReader::Parse(std::string_view text) {
  auto root = ParseYaml(text);
  if (root) return *std::move(root);
  Fault(root.error().line, root.error().sentence);
  return nullptr;
}

void ConfigReader::Fault(int line, std::string sentence) {
  faults_.emplace(line, std::move(sentence));
}

void ConfigReader::Warn(int line, std::string sentence) {
  warnings_.emplace(line, std::move(sentence));
}

std::string ConfigReader::FaultText() const {
  std::string text;
  std::size_t shown = 0;
  for (const auto& [line, sentence] : faults_) {
    if (!text.empty()) text += '\n';
    if (shown++ == kMostFaults) {
      return text + file_name_ + ": " + std::to_string(faults_.size() - kMostFaults) +
             " more faults follow; mend these first";
    }
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

std::string ConfigReader::WhyUnknown(std::string_view name,
                                     std::span<const std::string_view> names) const {
  const auto [first, last] = groups_.equal_range(std::string(name));
  if (first == last || !NearestName(name, names).empty()) return NotOneOf(name, names);
  std::string groups;
  for (auto group = first; group != last; ++group) {
    groups += (groups.empty() ? "" : " or ") + (group->second.empty() ? whole_ : group->second);
  }
  return "is not known here; it belongs to " + groups + ", check its indentation";
}

std::optional<std::vector<ConfigReader::Child>> ConfigReader::Children(
    const YamlNode& node, std::span<const std::string_view> names,
    std::span<const FormerName> former) {
  std::vector<Child> children;
  if (node.kind == YamlNode::Kind::kNothing) return children;
  if (node.kind != YamlNode::Kind::kMap) {
    Fault(node.line, group() + " has to be a group of options and is " + std::string(KindOf(node)) +
                         "; write options like `" + std::string(names.front()) + ": …` in it");
    return std::nullopt;
  }
  std::map<std::size_t, int> first_line;  // By option.
  for (const YamlEntry& entry : node.entries) {
    const YamlNode& key = *entry.key;
    const std::string& name = key.text;
    auto option = static_cast<std::size_t>(std::ranges::find(names, name) - names.begin());
    if (option == names.size()) {
      const auto found = std::ranges::find(former, name, &FormerName::name);
      if (found == former.end()) {
        Fault(key.line, "the option " + Quote(PathOf(name)) + " " + WhyUnknown(name, names));
        const auto meant = std::ranges::find(names, NearestName(name, names));
        if (meant != names.end()) {
          children.push_back({static_cast<std::size_t>(meant - names.begin()), nullptr});
        }
        continue;
      }
      if (!found->option) {
        Fault(key.line, PathOf(name) + " " + found->why);
        continue;
      }
      option = *found->option;
    }
    const auto [seen, fresh] = first_line.emplace(option, key.line);
    if (!fresh) {
      Fault(key.line, PathOf(name) + " is given twice, first on line " +
                          std::to_string(seen->second) + "; remove one of the two");
      continue;
    }
    children.push_back({option, entry.value.get()});
  }
  return children;
}

std::optional<std::vector<YamlRef>> ConfigReader::Items(const YamlNode& node, std::string_view name,
                                                        std::string_view example) {
  const std::string fix = "; write at least one item, like `" + std::string(example) + "`";
  if (node.kind != YamlNode::Kind::kList && node.kind != YamlNode::Kind::kNothing) {
    Fault(node.line, PathOf(name) + " has to be a list and is " + std::string(KindOf(node)) + fix);
    return std::nullopt;
  }
  if (node.items.empty()) {
    Fault(node.line, PathOf(name) + " is empty" + fix);
    return std::nullopt;
  }
  return node.items;
}

std::optional<ConfigReader::Scalar> ConfigReader::ReadScalar(const YamlNode& node,
                                                             std::string_view name,
                                                             std::string_view example) {
  if (node.kind != YamlNode::Kind::kValue) {
    Fault(node.line, PathOf(name) + " has to be a single value and is " +
                         std::string(KindOf(node)) + "; write one like `" + std::string(example) +
                         "`");
    return std::nullopt;
  }
  if (!environment_) return Scalar{node.text, Quote(node.text)};
  auto expanded = Expand(node.text, environment_);
  if (!expanded) {
    Fault(node.line, PathOf(name) + " " + expanded.error().message);
    return std::nullopt;
  }
  return Scalar{*std::move(expanded), Quote(node.text)};
}

void ConfigReader::RequireUnique(const std::string& scope, const std::string& value,
                                 const std::string& shown, int line, std::string_view name) {
  const auto [seen, fresh] = lines_of_values_.emplace(std::pair(scope, value), line);
  if (fresh) return;
  Fault(line, PathOf(name) + " " + shown + " is already used on line " +
                  std::to_string(seen->second) + "; remove one of them or write another");
}

int LineOf(const YamlNode& group, std::string_view option) {
  const YamlNode* const node = group.Find(option);
  return node == nullptr ? group.line : node->line;
}

std::string Quote(std::string_view text) {
  // The user and the password of a URL are not shown.
  const std::size_t from = text.find("://");
  const std::size_t at = from == text.npos ? text.npos : text.find('@', from);
  if (at != text.npos && at < text.find('/', from + 3)) {
    return Quote(std::string(text.substr(0, from)) + "://" + std::string(text.substr(at + 1)));
  }
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
