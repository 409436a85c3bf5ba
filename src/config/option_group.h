// Declares options, once each: from a group's declaration come its reader, the comparison of two of
// its values, and its part of the reference.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/config_reader.h"
#include "config/difference.h"
#include "config/option_form.h"

namespace headrace::config {

// What the reference says about an option, a group of them, or a list of groups.
struct OptionDoc {
  enum class Kind { kValue, kValues, kGroup, kGroups };
  Kind kind = Kind::kValue;
  std::string name;
  std::string former_name;
  std::string prose;
  bool required = false;
  bool live = false;
  bool key = false;    // Its value identifies an item of the list that it is in.
  bool alone = false;  // Its value alone may stand for the group that it is in.
  // Of a value:
  std::string type;
  std::string bounds;
  ValueSchema schema;    // Of each, if they are a list.
  std::string fallback;  // The default as it would be written; empty when there is none.
  std::string example;   // As it would be written.
  // Of a group, or of each group in a list:
  std::vector<OptionDoc> children;
};

// What a declaration says about an option besides its name, member and form.
struct OptionNote {
  std::string prose;  // Markdown; full sentences.
  // As in the file, after `name: `; of a list of groups, one item. Needed where there is no
  // default.
  std::string example = {};
  bool required = false;
  bool live = true;  // May change while the gateway runs.
  enum class Unique { kNo, kInList, kInFile };
  Unique unique = Unique::kNo;
  std::string unique_with = {};  // The option that its values must differ from, too.
  bool secret = false;           // Faults do not repeat what was written.
  std::string former_name = {};  // Still read.
};

template <typename T>
class OptionGroup {
 public:
  // A single value; the default is that of a new T. An optional member has none.
  template <typename Member, typename V>
  OptionGroup&& Value(const std::string& name, Member T::* member, const OptionForm<V>& form,
                      const OptionNote& note) && {
    OptionDoc doc = DocOf(OptionDoc::Kind::kValue, name, note);
    doc.type = form.type;
    doc.bounds = form.bounds;
    doc.schema = form.schema;
    if constexpr (std::is_same_v<Member, V>) {
      doc.fallback = form.print(T{}.*member);
    }
    if (doc.example.empty()) doc.example = doc.fallback;
    Entry entry;
    entry.read = [member, form, note, doc](T& value, const YamlNode& node, ConfigReader& reader) {
      auto read = ReadScalar(form, note, doc, node, reader);
      if (!read) return;
      if constexpr (std::is_same_v<Member, V>) {
        value.*member = *std::move(read);
      } else {
        value.*member = std::move(read);
      }
    };
    entry.compare = CompareMembers(member, doc, [form, note](const Member& written) {
      if (note.secret) return std::string();
      if constexpr (std::is_same_v<Member, V>) {
        return form.print(written);
      } else {
        return written ? form.print(*written) : std::string();
      }
    });
    if constexpr (std::is_same_v<Member, V>) {
      if (doc.key) key_ = [member, form](const T& value) { return form.print(value.*member); };
    }
    Add(std::move(doc), std::move(entry));
    return std::move(*this);
  }

  // A list of values, at least one.
  template <typename V>
  OptionGroup&& Values(const std::string& name, std::vector<V> T::* member,
                       const OptionForm<V>& form, const OptionNote& note) && {
    OptionDoc doc = DocOf(OptionDoc::Kind::kValues, name, note);
    doc.type = "list: " + form.type;
    doc.bounds = form.bounds;
    doc.schema = form.schema;
    Entry entry;
    entry.read = [member, form, note, doc](T& value, const YamlNode& node, ConfigReader& reader) {
      // One value is meant as a list of it.
      const bool one = node.kind == YamlNode::Kind::kValue && !note.secret;
      const auto items = reader.Items(node, doc.name,
                                      one ? doc.name + ": [" + node.text + "]" : SuggestionOf(doc));
      if (!items) return;
      for (const YamlRef& item : *items) {
        if (auto read = ReadScalar(form, note, doc, *item, reader)) {
          (value.*member).push_back(*std::move(read));
        }
      }
    };
    entry.compare = CompareMembers(member, doc, [form, note](const std::vector<V>& written) {
      std::string text;
      for (const V& item : written) text += (text.empty() ? "" : ", ") + form.print(item);
      return note.secret ? std::string() : "[" + text + "]";
    });
    Add(std::move(doc), std::move(entry));
    return std::move(*this);
  }

  // A group of options; `Member` is G or std::optional<G>. `prose` says what it is about.
  template <typename Member, typename G>
  OptionGroup&& Group(const std::string& name, Member T::* member, const OptionGroup<G>& group,
                      std::string prose) && {
    OptionDoc doc = DocOf(OptionDoc::Kind::kGroup, name, {.prose = std::move(prose)});
    doc.children = group.Docs();
    Entry entry;
    entry.read = [member, group, name](T& value, const YamlNode& node, ConfigReader& reader) {
      const ConfigReader::Inside inside(reader, name);
      if constexpr (std::is_same_v<Member, G>) {
        group.Read(value.*member, node, reader);
      } else if (node.kind != YamlNode::Kind::kNothing) {
        group.Read((value.*member).emplace(), node, reader);
      }
    };
    entry.compare = [member, group, name](const T& before, const T& after, const std::string& path,
                                          std::vector<OptionChange>& changes) {
      if constexpr (std::is_same_v<Member, G>) {
        group.Compare(before.*member, after.*member, path + name + ".", changes);
      } else {
        group.Compare((before.*member).value_or(G{}), (after.*member).value_or(G{}),
                      path + name + ".", changes);
      }
    };
    Add(std::move(doc), std::move(entry));
    return std::move(*this);
  }

  // A list of groups, at least one.
  template <typename G>
  OptionGroup&& Groups(const std::string& name, std::vector<G> T::* member,
                       const OptionGroup<G>& group, const OptionNote& note) && {
    OptionDoc doc = DocOf(OptionDoc::Kind::kGroups, name, note);
    doc.children = group.Docs();
    Entry entry;
    entry.read = [member, group, doc](T& value, const YamlNode& node, ConfigReader& reader) {
      // One value is meant as a list of it.
      const bool one = node.kind == YamlNode::Kind::kValue && group.alone_;
      const auto items = reader.Items(node, doc.name,
                                      one ? doc.name + ": [" + node.text + "]" : SuggestionOf(doc));
      if (!items) return;
      for (const YamlRef& item : *items) {
        const ConfigReader::Inside inside(
            reader, doc.name + "[" + std::to_string((value.*member).size()) + "]");
        group.Read((value.*member).emplace_back(), *item, reader);
      }
    };
    entry.compare = [member, group, doc](const T& before, const T& after, const std::string& path,
                                         std::vector<OptionChange>& changes) {
      group.CompareLists(before.*member, after.*member, path + doc.name, doc.live, changes);
    };
    Add(std::move(doc), std::move(entry));
    return std::move(*this);
  }

  // An option that is no longer read; `why` is the rest of a sentence about it, with the fix.
  OptionGroup&& Removed(const std::string& name, std::string why) && {
    former_.push_back({.name = name, .why = std::move(why)});
    return std::move(*this);
  }

  // A group may be written as the value of this option alone.
  OptionGroup&& Alone(const std::string& name) && {
    for (std::size_t i = 0; i < docs_.size(); ++i) {
      docs_[i].alone = docs_[i].name == name;
      if (docs_[i].alone) alone_ = i;
    }
    return std::move(*this);
  }

  // What several options have to agree on; checked only when each of them is valid by itself.
  OptionGroup&& Rule(std::function<void(const T&, const YamlNode&, ConfigReader&)> rule) && {
    rules_.push_back(std::move(rule));
    return std::move(*this);
  }

  void Read(T& value, const YamlNode& node, ConfigReader& reader) const {
    if (alone_ && node.kind == YamlNode::Kind::kValue) {
      entries_[*alone_].read(value, node, reader);
      return;
    }
    const std::size_t faults_before = reader.faults();
    std::vector<std::string_view> names;
    for (const OptionDoc& doc : docs_) names.push_back(doc.name);
    const auto children = reader.Children(node, names, former_);
    if (!children) return;
    std::vector<bool> given(docs_.size(), false);
    for (const ConfigReader::Child& child : *children) {
      given[child.option] = true;
      if (child.node != nullptr) entries_[child.option].read(value, *child.node, reader);
    }
    for (std::size_t i = 0; i < docs_.size(); ++i) {
      if (!docs_[i].required || given[i]) continue;
      reader.Fault(node.line, reader.group() + " has no \"" + docs_[i].name + "\"; add it, like `" +
                                  SuggestionOf(docs_[i]) + "`");
    }
    if (reader.faults() != faults_before) return;
    for (const auto& rule : rules_) rule(value, node, reader);
  }

  // What differs, in the order of the options. `path` is written before their names.
  void Compare(const T& before, const T& after, const std::string& path,
               std::vector<OptionChange>& changes) const {
    for (const Entry& entry : entries_) entry.compare(before, after, path, changes);
  }

  // The items of two lists of such groups, matched by their key; their order means nothing.
  void CompareLists(const std::vector<T>& before, const std::vector<T>& after,
                    const std::string& path, bool live, std::vector<OptionChange>& changes) const {
    using Kind = OptionChange::Kind;
    const auto find = [this](const std::vector<T>& items, const std::string& key) -> const T* {
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (KeyOf(items, i) == key) return &items[i];
      }
      return nullptr;
    };
    for (std::size_t i = 0; i < before.size(); ++i) {
      const std::string key = KeyOf(before, i);
      const std::string item = path + "[" + key + "]";
      if (const T* same = find(after, key)) {
        Compare(before[i], *same, item + ".", changes);
      } else {
        changes.push_back({.path = item, .kind = Kind::kRemoved, .live = live});
      }
    }
    for (std::size_t i = 0; i < after.size(); ++i) {
      const std::string key = KeyOf(after, i);
      if (find(before, key) != nullptr) continue;
      changes.push_back({.path = path + "[" + key + "]", .kind = Kind::kAdded, .live = live});
    }
  }

  const std::vector<OptionDoc>& Docs() const { return docs_; }

 private:
  struct Entry {
    std::function<void(T&, const YamlNode&, ConfigReader&)> read;
    std::function<void(const T&, const T&, const std::string&, std::vector<OptionChange>&)> compare;
  };

  // `print`: a value as it would be written; empty if it is not given, or is not to be shown.
  template <typename Member, typename Print>
  static auto CompareMembers(Member T::* member, const OptionDoc& doc, const Print& print) {
    return [member, print, name = doc.name, live = doc.live](const T& before, const T& after,
                                                             const std::string& path,
                                                             std::vector<OptionChange>& changes) {
      if (before.*member == after.*member) return;
      changes.push_back({.path = path + name,
                         .live = live,
                         .before = print(before.*member),
                         .after = print(after.*member)});
    };
  }

  // The place of an item whose group has no key.
  std::string KeyOf(const std::vector<T>& items, std::size_t index) const {
    return key_ ? key_(items[index]) : std::to_string(index);
  }

  // What to write in the file where the option is missing or of the wrong kind.
  static std::string SuggestionOf(const OptionDoc& doc) {
    const bool list = doc.kind == OptionDoc::Kind::kGroups;
    return doc.name + ": " + (list ? "[" + doc.example + "]" : doc.example);
  }

  static OptionDoc DocOf(OptionDoc::Kind kind, const std::string& name, const OptionNote& note) {
    OptionDoc doc;
    doc.kind = kind;
    doc.name = name;
    doc.prose = note.prose;
    doc.required = note.required;
    doc.live = note.live;
    doc.key = note.unique != OptionNote::Unique::kNo && note.unique_with.empty();
    doc.former_name = note.former_name;
    doc.example = note.example;
    return doc;
  }

  template <typename V>
  static std::optional<V> ReadScalar(const OptionForm<V>& form, const OptionNote& note,
                                     const OptionDoc& doc, const YamlNode& node,
                                     ConfigReader& reader) {
    const auto scalar = reader.ReadScalar(node, doc.name, SuggestionOf(doc));
    if (!scalar) return std::nullopt;
    Result<V> value = form.parse(scalar->text);
    if (!value) {
      reader.Fault(node.line, reader.PathOf(doc.name) +
                                  (note.secret ? " " : " is " + scalar->shown + ", which ") +
                                  std::move(value).error().message);
      return std::nullopt;
    }
    if (note.unique != OptionNote::Unique::kNo) {
      // Inside a list item, the list's name without the item's number.
      const bool in_file = note.unique == OptionNote::Unique::kInFile;
      const std::string& path = reader.path();
      const std::string& option = note.unique_with.empty() ? doc.name : note.unique_with;
      reader.RequireUnique((in_file ? "" : path.substr(0, path.rfind('['))) + "." + option,
                           form.print(*value), scalar->shown, node.line, doc.name);
    }
    return *std::move(value);
  }

  void Add(OptionDoc doc, Entry entry) {
    if (!doc.former_name.empty()) former_.push_back({doc.former_name, docs_.size(), ""});
    docs_.push_back(std::move(doc));
    entries_.push_back(std::move(entry));
  }

  std::vector<OptionDoc> docs_;
  template <typename>
  friend class OptionGroup;

  std::vector<Entry> entries_;        // By place in docs_.
  std::optional<std::size_t> alone_;  // The option whose value alone may stand for the group.
  std::vector<FormerName> former_;
  std::function<std::string(const T&)> key_;  // Empty when no option is the key.
  std::vector<std::function<void(const T&, const YamlNode&, ConfigReader&)>> rules_;
};

}  // namespace headrace::config
