// Declares options, once each: from a group's declaration come its reader and its part of the
// reference.
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
#include "config/option_form.h"

namespace headrace::config {

// What the reference says about an option, a group of them, or a list of groups.
struct OptionDoc {
  enum class Kind { kValue, kValues, kGroup, kGroups };
  Kind kind = Kind::kValue;
  std::string name;
  std::string prose;
  bool required = false;
  // Of a value:
  std::string type;
  std::string bounds;
  std::string fallback;  // The default as it would be written; empty when there is none.
  std::string example;   // As it would be written.
  // Of a group, or of each group in a list:
  std::vector<OptionDoc> children;
};

// What is said about an option besides its name, member and form.
struct OptionNote {
  std::string prose;         // Markdown; full sentences.
  std::string example = {};  // Needed where there is no default.
  bool required = false;
  enum class Unique { kNo, kInList, kInFile };
  Unique unique = Unique::kNo;
  bool secret = false;  // Faults do not repeat what was written.
};

template <typename T>
class OptionGroup {
 public:
  // A single value; the default is what a fresh T holds. An optional member has none.
  template <typename Member, typename V>
  OptionGroup&& Value(const std::string& name, Member T::* member, const OptionForm<V>& form,
                      const OptionNote& note) && {
    OptionDoc doc = DocOf(OptionDoc::Kind::kValue, name, note);
    doc.type = form.type;
    doc.bounds = form.bounds;
    if constexpr (std::is_same_v<Member, V>) {
      doc.fallback = form.print(T{}.*member);
    }
    if (doc.example.empty()) doc.example = doc.fallback;
    Entry entry;
    entry.read = [member, form, note, doc](T& value, const LocatedNode& node,
                                           ConfigReader& reader) {
      auto read = ReadScalar(form, note, doc, node, reader);
      if (!read) return;
      if constexpr (std::is_same_v<Member, V>) {
        value.*member = *std::move(read);
      } else {
        value.*member = std::move(read);
      }
    };
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
    Entry entry;
    entry.read = [member, form, note, doc](T& value, const LocatedNode& node,
                                           ConfigReader& reader) {
      const auto items = reader.Items(node, doc.name, doc.name + ": " + doc.example);
      if (!items) return;
      for (const LocatedNode& item : *items) {
        if (auto read = ReadScalar(form, note, doc, item, reader)) {
          (value.*member).push_back(*std::move(read));
        }
      }
    };
    Add(std::move(doc), std::move(entry));
    return std::move(*this);
  }

  // A group of options, `Member` being G or std::optional<G>; `prose` says what it is about.
  template <typename Member, typename G>
  OptionGroup&& Group(const std::string& name, Member T::* member, const OptionGroup<G>& group,
                      std::string prose) && {
    OptionDoc doc = DocOf(OptionDoc::Kind::kGroup, name, {.prose = std::move(prose)});
    doc.children = group.Docs();
    Entry entry;
    entry.read = [member, group, name](T& value, const LocatedNode& node, ConfigReader& reader) {
      const ConfigReader::Inside inside(reader, name);
      if constexpr (std::is_same_v<Member, G>) {
        group.Read(value.*member, node, reader);
      } else if (!node.yaml.IsNull()) {
        group.Read((value.*member).emplace(), node, reader);
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
    entry.read = [member, group, doc](T& value, const LocatedNode& node, ConfigReader& reader) {
      const auto items = reader.Items(node, doc.name, doc.example);
      if (!items) return;
      for (const LocatedNode& item : *items) {
        const ConfigReader::Inside inside(
            reader, doc.name + "[" + std::to_string((value.*member).size()) + "]");
        group.Read((value.*member).emplace_back(), item, reader);
      }
    };
    Add(std::move(doc), std::move(entry));
    return std::move(*this);
  }

  // Something that several options have to agree on; looked at only when each is right by itself.
  OptionGroup&& Rule(std::function<void(const T&, const LocatedNode&, ConfigReader&)> rule) && {
    rules_.push_back(std::move(rule));
    return std::move(*this);
  }

  void Read(T& value, const LocatedNode& node, ConfigReader& reader) const {
    const std::size_t faults_before = reader.faults();
    std::vector<std::string_view> names;
    for (const OptionDoc& doc : docs_) names.push_back(doc.name);
    const auto children = reader.Children(node, names);
    if (!children) return;
    std::vector<bool> given(docs_.size(), false);
    for (const ConfigReader::Child& child : *children) {
      given[child.option] = true;
      entries_[child.option].read(value, child.node, reader);
    }
    for (std::size_t i = 0; i < docs_.size(); ++i) {
      if (!docs_[i].required || given[i]) continue;
      reader.Fault(node.mark, reader.group() + " has no \"" + docs_[i].name + "\"; add it, like `" +
                                  docs_[i].name + ": " + docs_[i].example + "`");
    }
    if (reader.faults() != faults_before) return;
    for (const auto& rule : rules_) rule(value, node, reader);
  }

  const std::vector<OptionDoc>& Docs() const { return docs_; }

 private:
  struct Entry {
    std::function<void(T&, const LocatedNode&, ConfigReader&)> read;
  };

  static OptionDoc DocOf(OptionDoc::Kind kind, const std::string& name, const OptionNote& note) {
    OptionDoc doc;
    doc.kind = kind;
    doc.name = name;
    doc.prose = note.prose;
    doc.required = note.required;
    doc.example = note.example;
    return doc;
  }

  template <typename V>
  static std::optional<V> ReadScalar(const OptionForm<V>& form, const OptionNote& note,
                                     const OptionDoc& doc, const LocatedNode& node,
                                     ConfigReader& reader) {
    const auto text = reader.Scalar(node, doc.name, doc.name + ": " + doc.example);
    if (!text) return std::nullopt;
    Result<V> value = form.parse(*text);
    if (!value) {
      reader.Fault(node.mark, reader.PathOf(doc.name) +
                                  (note.secret ? " " : " is " + Quote(*text) + ", which ") +
                                  std::move(value).error().message);
      return std::nullopt;
    }
    if (note.unique != OptionNote::Unique::kNo) {
      // Inside a list item, the list's name without the item's number.
      const bool in_file = note.unique == OptionNote::Unique::kInFile;
      const std::string& path = reader.path();
      reader.RequireUnique((in_file ? "" : path.substr(0, path.rfind('['))) + "." + doc.name,
                           form.print(*value), node.mark, doc.name);
    }
    return *std::move(value);
  }

  void Add(OptionDoc doc, Entry entry) {
    docs_.push_back(std::move(doc));
    entries_.push_back(std::move(entry));
  }

  std::vector<OptionDoc> docs_;
  std::vector<Entry> entries_;  // By place in docs_.
  std::vector<std::function<void(const T&, const LocatedNode&, ConfigReader&)>> rules_;
};

}  // namespace headrace::config
