// For tests that hold for every option of a schema: they are made from its declarations.
#pragma once

#include <gmock/gmock.h>

#include <set>
#include <string>
#include <vector>

#include "base/test_numbers.h"
#include "config/option_group.h"

namespace headrace::config {

// A text that sets every option to its example.
inline YAML::Node ExampleOf(const std::vector<OptionDoc>& docs) {
  YAML::Node node;
  for (const OptionDoc& doc : docs) {
    switch (doc.kind) {
      case OptionDoc::Kind::kValue:
      case OptionDoc::Kind::kValues:
        node[doc.name] = YAML::Load(doc.example);
        break;
      case OptionDoc::Kind::kGroup:
        node[doc.name] = ExampleOf(doc.children);
        break;
      case OptionDoc::Kind::kGroups:
        node[doc.name].push_back(ExampleOf(doc.children));
        break;
    }
  }
  return node;
}

// An option and the groups that it is in, from the outermost.
struct OptionPlace {
  OptionDoc doc;
  std::vector<OptionDoc> groups;
};

inline void AddPlaces(const std::vector<OptionDoc>& docs, std::vector<OptionDoc>& groups,
                      std::vector<OptionPlace>& places) {
  for (const OptionDoc& doc : docs) {
    places.push_back({doc, groups});
    groups.push_back(doc);
    AddPlaces(doc.children, groups, places);
    groups.pop_back();
  }
}

// Every option, groups and lists of groups included.
inline std::vector<OptionPlace> PlacesOf(const std::vector<OptionDoc>& docs) {
  std::vector<OptionPlace> places;
  std::vector<OptionDoc> groups;
  AddPlaces(docs, groups, places);
  return places;
}

// The group that an option is in, in a text made by ExampleOf.
inline YAML::Node GroupOf(const OptionPlace& place, const YAML::Node& root) {
  YAML::Node node = root;
  for (const OptionDoc& group : place.groups) {
    node.reset(node[group.name]);
    if (group.kind == OptionDoc::Kind::kGroups) node.reset(node[0]);
  }
  return node;
}

template <typename T>
std::string FaultsIn(const OptionGroup<T>& schema, const std::string& text) {
  ConfigReader reader("h.yaml");
  T value;
  if (const auto root = ParseYaml(text, reader)) schema.Read(value, {*root, root->Mark()}, reader);
  return reader.FaultText();
}

// Where an option is missing or empty, the error suggests a text: written there, it is accepted.
template <typename T>
void ExpectSuggestionsCanBePasted(const OptionGroup<T>& schema) {
  const std::string_view mark = "PASTE: here";
  for (const OptionPlace& place : PlacesOf(schema.Docs())) {
    const OptionDoc& doc = place.doc;
    if (doc.kind == OptionDoc::Kind::kGroup) continue;
    for (const bool missing : {true, false}) {
      if (missing && !doc.required) continue;
      YAML::Node root = ExampleOf(schema.Docs());
      YAML::Node group = GroupOf(place, root);
      if (missing) {
        group.remove(doc.name);
      } else {
        group[doc.name] = YAML::Node();
      }
      const std::string fault = FaultsIn(schema, YAML::Dump(root));
      EXPECT_THAT(fault, ::testing::HasSubstr(doc.name));
      const std::size_t begin = fault.find('`') + 1;
      const std::size_t end = fault.rfind('`');
      ASSERT_LT(begin, end) << fault;

      group.remove(doc.name);
      group["PASTE"] = "here";
      std::string text = YAML::Dump(root);
      text.replace(text.find(mark), mark.size(), fault.substr(begin, end - begin));
      EXPECT_EQ(FaultsIn(schema, text), "") << fault << "\n" << text;
    }
  }
}

// The fault of a text in which one option has this value; empty if there is none.
template <typename T>
std::string FaultOfValue(const OptionGroup<T>& schema, const OptionPlace& place,
                         std::string_view value) {
  YAML::Node root = ExampleOf(schema.Docs());
  YAML::Node group = GroupOf(place, root);
  const std::string text(value);
  if (place.doc.kind == OptionDoc::Kind::kValues) {
    group[place.doc.name] = YAML::Node();
    group[place.doc.name].push_back(text);
  } else {
    group[place.doc.name] = text;
  }
  return FaultsIn(schema, YAML::Dump(root));
}

// Every number has a range, and what nobody means is refused in one sentence.
template <typename T>
void ExpectNumbersHaveRanges(const OptionGroup<T>& schema) {
  const std::set<std::string> numbers{"duration", "size",   "integer",    "number",
                                      "share",    "tokens", "rate change"};
  const std::set<std::string> ranged{"duration", "size", "integer", "number", "share"};
  for (const OptionPlace& place : PlacesOf(schema.Docs())) {
    std::string type = place.doc.type;
    if (type.starts_with("list: ")) type = type.substr(6);
    if (!numbers.contains(type)) continue;
    if (ranged.contains(type)) {
      EXPECT_NE(place.doc.bounds, "") << place.doc.name;
    }
    for (const std::string_view value : kNeverNumbers) {
      const std::string fault = FaultOfValue(schema, place, value);
      EXPECT_THAT(fault, ::testing::HasSubstr(place.doc.name)) << value;
      EXPECT_EQ(fault.find('\n'), fault.npos) << fault;
    }
    for (const std::string_view value : kExtremeNumbers) FaultOfValue(schema, place, value);
  }
}

}  // namespace headrace::config
