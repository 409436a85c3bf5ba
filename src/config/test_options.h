// For tests that hold for every option of a schema: they are made from its declarations.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "base/test_numbers.h"
#include "config/option_group.h"

namespace headrace::config {

// A text that can be changed before it is written.
struct TestText {
  std::string value;               // As in the file, after `name: `.
  std::vector<std::string> names;  // Or a group of options
  std::vector<TestText> options;   // with these,
  bool list = false;               // or a list with this one group.

  TestText& operator[](const std::string& name) {
    const auto found = std::ranges::find(names, name);
    if (found != names.end()) return options[static_cast<std::size_t>(found - names.begin())];
    names.push_back(name);
    return options.emplace_back();
  }
  void Remove(const std::string& name) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) return;
    options.erase(options.begin() + (found - names.begin()));
    names.erase(found);
  }
  std::string Write(const std::string& indent = "") const {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
      text += indent + names[i] + ":";
      if (options[i].names.empty()) {
        text += " " + options[i].value + "\n";
      } else if (options[i].list) {
        text += "\n" + indent + "  -\n" + options[i].Write(indent + "    ");
      } else {
        text += "\n" + options[i].Write(indent + "  ");
      }
    }
    return text;
  }
};

// A text that sets every option to its example.
inline TestText ExampleOf(const std::vector<OptionDoc>& docs) {
  TestText text;
  for (const OptionDoc& doc : docs) {
    TestText& option = text[doc.name];
    if (doc.children.empty()) {
      option.value = doc.example;
    } else {
      option = ExampleOf(doc.children);
      option.list = doc.kind == OptionDoc::Kind::kGroups;
    }
  }
  return text;
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
inline TestText& GroupOf(const OptionPlace& place, TestText& root) {
  TestText* text = &root;
  for (const OptionDoc& group : place.groups) text = &(*text)[group.name];
  return *text;
}

template <typename T>
std::string FaultsIn(const OptionGroup<T>& schema, const std::string& text) {
  ConfigReader reader("h.yaml");
  T value;
  if (const YamlRef root = reader.Parse(text)) schema.Read(value, *root, reader);
  return reader.FaultText();
}

// Where an option is missing or empty, the error suggests a text: written there, it is accepted.
template <typename T>
void ExpectSuggestionsCanBePasted(const OptionGroup<T>& schema) {
  const std::string mark = "PASTE: here";
  for (const OptionPlace& place : PlacesOf(schema.Docs())) {
    const OptionDoc& doc = place.doc;
    if (doc.kind == OptionDoc::Kind::kGroup) continue;
    for (const bool missing : {true, false}) {
      if (missing && !doc.required) continue;
      TestText root = ExampleOf(schema.Docs());
      TestText& group = GroupOf(place, root);
      if (missing) {
        group.Remove(doc.name);
      } else {
        group[doc.name] = TestText();
      }
      const std::string fault = FaultsIn(schema, root.Write());
      EXPECT_THAT(fault, ::testing::HasSubstr(doc.name));
      const std::size_t begin = fault.find('`') + 1;
      const std::size_t end = fault.rfind('`');
      ASSERT_LT(begin, end) << fault;

      group.Remove(doc.name);
      group["PASTE"].value = "here";
      std::string text = root.Write();
      text.replace(text.find(mark), mark.size(), fault.substr(begin, end - begin));
      EXPECT_EQ(FaultsIn(schema, text), "") << fault << "\n" << text;
    }
  }
}

// The fault of a text in which one option has this value; empty if there is none.
template <typename T>
std::string FaultOfValue(const OptionGroup<T>& schema, const OptionPlace& place,
                         std::string_view value) {
  TestText root = ExampleOf(schema.Docs());
  std::string text;
  AppendJsonString(value, text);
  if (place.doc.kind == OptionDoc::Kind::kValues) text = "[" + text + "]";
  GroupOf(place, root)[place.doc.name].value = text;
  return FaultsIn(schema, root.Write());
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
