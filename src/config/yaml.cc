#include "config/yaml.h"

#include <yaml.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/text.h"
#include "config/yaml_repair.h"

namespace headrace::config {
namespace {

using Kind = YamlNode::Kind;

tl::unexpected<YamlFault> FailAt(std::size_t line, std::string sentence) {
  return tl::unexpected(YamlFault{static_cast<int>(line), std::move(sentence)});
}

// --- Before YAML is looked for

// What libyaml accepts but nobody means, or refuses without a line.
std::optional<YamlFault> FaultOfBytes(std::string_view text) {
  const auto fault = [](int line, std::string sentence) {
    return YamlFault{line, std::move(sentence)};
  };
  if (text.size() > YamlBounds::kBytes) {
    return fault(1, "the file has more than 4 MiB; write a shorter one");
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    return fault(1, "the file begins with a byte order mark (BOM); save it as UTF-8 without one");
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return fault(1, "the file is UTF-16; save it as UTF-8");
  }
  int line = 1;
  bool line_begins = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = Utf8Length(text.substr(at));
    const auto byte = static_cast<unsigned char>(text[at]);
    if (length == 0) {
      return fault(line, "a byte here is not UTF-8; save the file as UTF-8 or remove the byte");
    }
    if (byte == 0) {
      return fault(line, "a NUL byte is here; remove it, and see whether the file is whole");
    }
    const bool space = byte == '\t' || byte == '\n' || byte == '\r';
    // C1 controls are U+0080 to U+009F.
    const bool c1 = byte == 0xC2 && static_cast<unsigned char>(text[at + 1]) < 0xA0;
    if ((byte < 0x20 && !space) || byte == 0x7F || c1) {
      return fault(line, "a control character is here; remove it");
    }
    if (line_begins && byte == '%') {
      return fault(line, "a YAML directive (%…) is here; remove the line");
    }
    line_begins = byte == '\n' || byte == '\r';
    // As libyaml counts, which takes \r\n for one.
    if (byte == '\n' || (byte == '\r' && !text.substr(at).starts_with("\r\n"))) ++line;
    at += length;
  }
  return std::nullopt;
}

// --- Events

// libyaml's parser over a text.
class Parser {
 public:
  explicit Parser(std::string_view text) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  ~Parser() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  // The next event, which lives until the following one; null at an error.
  const yaml_event_t* Next() {
    yaml_event_delete(&event_);
    return yaml_parser_parse(&parser_, &event_) == 1 ? &event_ : nullptr;
  }
  std::size_t line() const { return event_.start_mark.line + 1; }

  // After an error: what libyaml says of it, and where it and what it belongs to are.
  std::string problem() const {
    const auto text = [](const char* part) { return std::string(part == nullptr ? "" : part); };
    if (parser_.context == nullptr) return text(parser_.problem);
    return text(parser_.context) + ", " + text(parser_.problem);
  }
  int problem_line() const { return static_cast<int>(parser_.problem_mark.line) + 1; }
  int context_line() const { return static_cast<int>(parser_.context_mark.line) + 1; }

 private:
  yaml_parser_t parser_{};
  yaml_event_t event_{};
};

std::string TextOf(const yaml_char_t* text) {
  return text == nullptr ? "" : reinterpret_cast<const char*>(text);
}

// --- The tree

// How much a node and all in it are, with what aliases repeat.
struct Extent {
  std::size_t nodes = 1;
  std::size_t bytes = 0;
  std::size_t depth = 1;

  void Add(const Extent& inner) {
    nodes += inner.nodes;
    bytes += inner.bytes;
    depth = std::max(depth, inner.depth + 1);
  }
};

struct Built {
  YamlRef node;
  Extent extent;
};

bool IsNothing(std::string_view plain) {
  return plain.empty() || plain == "~" || plain == "null" || plain == "Null" || plain == "NULL";
}

// A list or map that is not complete yet.
struct Open {
  std::shared_ptr<YamlNode> node;
  Extent extent;
  std::string anchor;
  YamlRef key;          // Of a map: whose value comes next.
  bool merges = false;  // The key is `<<`.
  std::vector<YamlRef> merged;
};

class Builder {
 public:
  explicit Builder(std::string_view text) : text_(text), parser_(text) {}

  tl::expected<YamlRef, YamlFault> Build() {
    for (;;) {
      const yaml_event_t* const event = parser_.Next();
      if (event == nullptr) return tl::unexpected(NotYaml());
      if (event->type == YAML_STREAM_END_EVENT) break;
      if (auto heard = Hear(*event); !heard) return tl::unexpected(std::move(heard).error());
    }
    return root_ ? root_ : std::make_shared<const YamlNode>();
  }

 private:
  using Heard = tl::expected<void, YamlFault>;

  Heard Hear(const yaml_event_t& event);
  Heard Begin(Kind kind, const yaml_char_t* anchor);
  Heard End();
  Heard Value(const yaml_event_t& event);
  Heard Alias(const std::string& name);
  // A node is complete.
  Heard Take(Built built, const std::string& anchor);
  Heard Merge(Open& map, const YamlRef& value);
  Heard CheckBounds(const Extent& extent) const;
  YamlFault NotYaml() const;
  bool HasTab(int line) const;

  std::string_view text_;
  Parser parser_;
  YamlRef root_;
  std::vector<Open> open_;
  std::map<std::string, Built, std::less<>> anchors_;
};

YamlFault Builder::NotYaml() const {
  const int line = parser_.problem_line();
  const std::string what = "this is not valid YAML (" + parser_.problem() + "); ";
  const auto repair =
      FindYamlRepair(text_, line, parser_.context_line(), [](const std::string& text) {
        Parser parser(text);
        for (;;) {
          const yaml_event_t* const event = parser.Next();
          if (event == nullptr) return false;
          if (event->type == YAML_STREAM_END_EVENT) return true;
        }
      });
  if (HasTab(line)) {
    return {line, "this line is indented with a tab; " +
                      (repair && repair->line == line ? repair->fix : "use spaces")};
  }
  if (repair) return {repair->line, what + repair->fix};
  return {line, what +
                    "check the indentation, the brackets and the quotes here and on the line "
                    "before"};
}

// Whether a tab is in the indentation of a line.
bool Builder::HasTab(int line) const {
  std::string_view rest = text_;
  for (; line > 1 && rest.find('\n') != rest.npos; --line) rest.remove_prefix(rest.find('\n') + 1);
  const std::string_view indent = rest.substr(0, rest.find_first_not_of(" \t"));
  return indent.find('\t') != indent.npos;
}

Builder::Heard Builder::Hear(const yaml_event_t& event) {
  switch (event.type) {
    case YAML_DOCUMENT_START_EVENT:
      if (!root_) return {};
      return FailAt(
          parser_.line(),
          "a second YAML document begins here; keep one of them and remove the `---` between");
    case YAML_SEQUENCE_START_EVENT:
      if (event.data.sequence_start.tag != nullptr) break;
      return Begin(Kind::kList, event.data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
      if (event.data.mapping_start.tag != nullptr) break;
      return Begin(Kind::kMap, event.data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
      return End();
    case YAML_SCALAR_EVENT:
      if (event.data.scalar.tag != nullptr) break;
      return Value(event);
    case YAML_ALIAS_EVENT:
      return Alias(TextOf(event.data.alias.anchor));
    default:
      return {};
  }
  return FailAt(parser_.line(),
                "a YAML tag (!…) is here, which has no meaning; remove it, or put "
                "a text that begins with ! in quotes");
}

Builder::Heard Builder::Begin(Kind kind, const yaml_char_t* anchor) {
  if (open_.size() == YamlBounds::kDepth) {
    return CheckBounds({.depth = YamlBounds::kDepth + 1});
  }
  Open open{.node = std::make_shared<YamlNode>(), .anchor = TextOf(anchor)};
  open.node->kind = kind;
  open.node->line = static_cast<int>(parser_.line());
  open_.push_back(std::move(open));
  return {};
}

Builder::Heard Builder::End() {
  Open map = std::move(open_.back());
  open_.pop_back();
  if (!map.merged.empty()) {
    // What the map has itself comes first, then the maps in the order of the text.
    std::set<std::string_view> known;
    for (const YamlEntry& entry : map.node->entries) known.insert(entry.key->text);
    for (const YamlRef& merged : map.merged) {
      for (const YamlEntry& entry : merged->entries) {
        if (known.insert(entry.key->text).second) map.node->entries.push_back(entry);
      }
    }
  }
  return Take({std::move(map.node), map.extent}, map.anchor);
}

Builder::Heard Builder::Value(const yaml_event_t& event) {
  const auto& scalar = event.data.scalar;
  auto node = std::make_shared<YamlNode>();
  node->line = static_cast<int>(parser_.line());
  node->text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
  const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
  if (!plain || !IsNothing(node->text)) node->kind = Kind::kValue;
  const bool in_map = !open_.empty() && open_.back().node->kind == Kind::kMap;
  if (in_map && !open_.back().key && plain && node->text == "<<") open_.back().merges = true;
  const std::size_t bytes = node->text.size();
  return Take({std::move(node), {.bytes = bytes}}, TextOf(scalar.anchor));
}

Builder::Heard Builder::Alias(const std::string& name) {
  const auto found = anchors_.find(name);
  if (found == anchors_.end()) {
    return FailAt(parser_.line(), "nothing before this is called `&" + Excerpt(name) +
                                      "`; write the value itself, or mark what *" + Excerpt(name) +
                                      " stands for");
  }
  Built built = found->second;
  if (built.node->kind == Kind::kValue || built.node->kind == Kind::kNothing) {
    auto node = std::make_shared<YamlNode>(*built.node);
    node->line = static_cast<int>(parser_.line());
    built.node = std::move(node);
  }
  return Take(std::move(built), "");
}

Builder::Heard Builder::Take(Built built, const std::string& anchor) {
  if (!anchor.empty()) anchors_.insert_or_assign(anchor, built);
  if (open_.empty()) {
    root_ = std::move(built.node);
    return {};
  }
  Open& parent = open_.back();
  parent.extent.Add(built.extent);
  // Of everything that is open: their sum is the text so far.
  Extent all = parent.extent;
  all.depth = open_.size() + built.extent.depth;
  for (std::size_t i = 0; i + 1 < open_.size(); ++i) {
    all.nodes += open_[i].extent.nodes;
    all.bytes += open_[i].extent.bytes;
  }
  if (auto within = CheckBounds(all); !within) return within;
  if (parent.node->kind == Kind::kList) {
    parent.node->items.push_back(std::move(built.node));
    return {};
  }
  if (!parent.key) {
    parent.key = std::move(built.node);
    return {};
  }
  if (parent.merges) {
    if (auto merged = Merge(parent, built.node); !merged) return merged;
  } else {
    parent.node->entries.push_back({std::move(parent.key), std::move(built.node)});
  }
  parent.key = nullptr;
  parent.merges = false;
  return {};
}

Builder::Heard Builder::Merge(Open& map, const YamlRef& value) {
  const std::vector<YamlRef> maps =
      value->kind == Kind::kList ? value->items : std::vector<YamlRef>{value};
  for (const YamlRef& merged : maps) {
    if (merged->kind != Kind::kMap) {
      return FailAt(parser_.line(),
                    "`<<` takes a group of options or a list of them; write it like `<<: *name`, "
                    "with `&name` before that group");
    }
    map.merged.push_back(merged);
  }
  return {};
}

Builder::Heard Builder::CheckBounds(const Extent& extent) const {
  const auto fail = [this](const std::string& what) {
    return FailAt(parser_.line(), what + "; write less, or use fewer aliases");
  };
  if (extent.depth > YamlBounds::kDepth) {
    return FailAt(parser_.line(),
                  "groups and lists are more than 32 deep here; write them flatter");
  }
  if (extent.nodes > YamlBounds::kNodes) {
    return fail("up to here the file has more than 250000 values, with those that aliases repeat");
  }
  if (extent.bytes > YamlBounds::kValueBytes) {
    return fail("up to here the values have more than 8 MiB, with those that aliases repeat");
  }
  return {};
}

}  // namespace

const YamlNode* YamlNode::Find(std::string_view key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key->kind == Kind::kValue && entry.key->text == key) return entry.value.get();
  }
  return nullptr;
}

tl::expected<YamlRef, YamlFault> ParseYaml(std::string_view text) {
  if (auto fault = FaultOfBytes(text)) return tl::unexpected(*std::move(fault));
  return Builder(text).Build();
}

}  // namespace headrace::config
