// A YAML text as a tree that keeps its lines. Whatever the text is, reading it ends soon.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace headrace::config {

struct YamlNode;
// Nodes that an alias repeats are shared.
using YamlRef = std::shared_ptr<const YamlNode>;

struct YamlEntry {
  YamlRef key;
  YamlRef value;
};

struct YamlNode {
  enum class Kind { kNothing, kValue, kList, kMap };
  Kind kind = Kind::kNothing;
  int line = 1;                    // Where it begins; an alias of a value: where the alias is.
  std::string text;                // Of a value, without quotes and escapes.
  std::vector<YamlRef> items;      // Of a list.
  std::vector<YamlEntry> entries;  // Of a map, in the order of the text; keys may be repeated.

  // The value of a key; null if the node is not a map or has no such key.
  const YamlNode* Find(std::string_view key) const;
};

// What a text may be at most; more is one fault. Nodes and values count as often as aliases repeat
// them.
struct YamlBounds {
  static constexpr std::size_t kBytes = std::size_t{4} << 20;
  static constexpr std::size_t kNodes = 250'000;
  static constexpr std::size_t kValueBytes = 2 * kBytes;
  static constexpr std::size_t kDepth = 32;
};

struct YamlFault {
  int line = 1;
  std::string sentence;  // Ends with the fix and has no full stop.
};

// The text's only document; an empty text is a node of nothing. Aliases (`*name`) and merge keys
// (`<<: *name`) are followed. Refused, beside what is not YAML: tags, directives, a second
// document, and text that is not UTF-8.
tl::expected<YamlRef, YamlFault> ParseYaml(std::string_view text);

}  // namespace headrace::config
