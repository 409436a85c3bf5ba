#include "config/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace headrace::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// "{a: 1@1, b: [x@2, ~@3]}": values with their lines.
std::string Show(const YamlNode& node) {
  std::string text;
  switch (node.kind) {
    case YamlNode::Kind::kNothing:
      return "~@" + std::to_string(node.line);
    case YamlNode::Kind::kValue:
      return node.text + "@" + std::to_string(node.line);
    case YamlNode::Kind::kList:
      for (const YamlRef& item : node.items) text += (text.empty() ? "" : ", ") + Show(*item);
      return "[" + text + "]";
    case YamlNode::Kind::kMap:
      for (const YamlEntry& entry : node.entries) {
        text += (text.empty() ? "" : ", ") + entry.key->text + ": " + Show(*entry.value);
      }
      return "{" + text + "}";
  }
  return "";
}

std::string Tree(std::string_view text) {
  const auto root = ParseYaml(text);
  return root ? Show(**root)
              : "line " + std::to_string(root.error().line) + ": " + root.error().sentence;
}

std::string Repeat(std::string_view part, std::size_t times) {
  std::string text;
  text.reserve(part.size() * times);
  for (; times > 0; --times) text += part;
  return text;
}

TEST(Yaml, KeepsValuesAndTheirLines) {
  EXPECT_EQ(Tree("a: 1\nb:\n  - x\n  - \"y\\n\"\nc: { d: 'it''s', e: }\nf:\ng: null\nh: 'null'\n"),
            "{a: 1@1, b: [x@3, y\n@4], c: {d: it's@5, e: ~@5}, f: ~@6, g: ~@7, h: null@8}");
  EXPECT_EQ(Tree(""), "~@1");
  EXPECT_EQ(Tree("# nothing\n"), "~@1");
  EXPECT_EQ(Tree("{\"json\": [1, true]}"), "{json: [1@1, true@1]}");
}

TEST(Yaml, AliasesStandForWhatTheyName) {
  EXPECT_EQ(Tree("a: &v 5s\nb: *v\nc: &l [1]\nd: *l\n"), "{a: 5s@1, b: 5s@2, c: [1@3], d: [1@3]}");
  EXPECT_THAT(Tree("a: *b\nb: &b 1\n"), HasSubstr("line 1: nothing before this is called `&b`"));
  EXPECT_THAT(Tree("a: &a [*a]\n"), HasSubstr("nothing before this is called `&a`"));
}

TEST(Yaml, MergeKeysAddWhatAGroupDoesNotHave) {
  EXPECT_EQ(Tree("- &a { x: 1, y: 2 }\n- <<: *a\n  y: 3\n- { y: 4, <<: [{ z: 5, y: 6 }, *a] }\n"),
            "[{x: 1@1, y: 2@1}, {y: 3@3, x: 1@1}, {y: 4@4, z: 5@4, x: 1@1}]");
  EXPECT_EQ(Tree("{ '<<': 1 }"), "{<<: 1@1}");
  EXPECT_THAT(Tree("a: 1\n<<: 2\n"), HasSubstr("line 2: `<<` takes a group of options"));
}

TEST(Yaml, WhatNobodyMeansIsNamedWithItsLine) {
  EXPECT_THAT(Tree("\xEF\xBB\xBF"
                   "a: 1\n"),
              HasSubstr("line 1: the file begins with a byte order"));
  EXPECT_THAT(Tree("\xFF\xFE"
                   "a"),
              HasSubstr("line 1: the file is UTF-16; save it as UTF-8"));
  EXPECT_THAT(Tree("a: 1\r\nb: \xE4\n"), HasSubstr("line 2: a byte here is not UTF-8"));
  EXPECT_THAT(Tree(std::string_view("a: 1\nb: \0\n", 10)), HasSubstr("line 2: a NUL byte"));
  EXPECT_THAT(Tree("a: 1\n\nb: \x1b[1m\n"), HasSubstr("line 3: a control character"));
  EXPECT_THAT(Tree("%YAML 1.2\n---\na: 1\n"), HasSubstr("line 1: a YAML directive"));
  EXPECT_THAT(Tree("a: 1\n---\nb: 1\n"), HasSubstr("line 2: a second YAML document begins here"));
  EXPECT_THAT(Tree("a: 1\nb: !secret x\n"), HasSubstr("line 2: a YAML tag (!…) is here"));
  EXPECT_THAT(Tree("a: !!int 1\n"), HasSubstr("a YAML tag"));
  EXPECT_THAT(Tree(","), HasSubstr("line 1: this is not valid YAML"));
}

TEST(Yaml, EachBoundIsOneSentence) {
  const std::size_t deep = YamlBounds::kDepth;
  EXPECT_EQ(Tree(Repeat("[", deep) + Repeat("]", deep)), Repeat("[", deep) + Repeat("]", deep));
  EXPECT_THAT(Tree(Repeat("[", 100'000)), HasSubstr("groups and lists are more than 32 deep here"));
  EXPECT_THAT(Tree(Repeat("- ", 100'000)), HasSubstr("more than 32 deep"));
  EXPECT_THAT(Tree(Repeat("x\n", (YamlBounds::kBytes / 2) + 1)), HasSubstr("more than 4 MiB"));
  EXPECT_THAT(Tree(Repeat("- a\n", YamlBounds::kNodes + 1)),
              AllOf(HasSubstr("line 250000: "), HasSubstr("more than 250000 values")));
}

TEST(Yaml, WhatAliasesRepeatCounts) {
  // Ten times as much on each line.
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  // A list inside a list inside …, without deep brackets.
  std::string chain = "- &a0 [x]\n";
  for (int i = 1; i < 100; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    const std::string name = "&a" + std::to_string(i) + " [";
    if (i < 10) {
      laughs += "a" + std::to_string(i) + ": " + name + Repeat(before + ", ", 9) + before + "]\n";
    }
    chain += "- " + name + before + "]\n";
  }
  EXPECT_THAT(Tree(laughs), AllOf(HasSubstr("line 6: "), HasSubstr("more than 250000 values")));
  EXPECT_THAT(Tree(chain), HasSubstr("more than 32 deep"));
  const std::string long_value = "- &a " + std::string(100'000, 'x') + "\n" + Repeat("- *a\n", 100);
  EXPECT_THAT(Tree(long_value), AllOf(HasSubstr("line 84: "), HasSubstr("more than 8 MiB")));
}

// What is known to make YAML parsers slow. The test's own time limit is the assertion.
TEST(Yaml, ReadingEndsSoon) {
  const std::size_t n = YamlBounds::kBytes / 4;
  for (const char* part :
       {"[",      "{",    "- ",  "? ",      "a: ",    "{a: ", "[a, ",         "&a ",
        "*a ",    "&a\n", "a\n", "'",       "\"",     "#",    "\n",           " ",
        "a: 1\n", ": ",   "|\n", ">\n ",    "- - ",   "a,",   "%TAG !a! b\n", "...\n",
        "---\n",  "!a ",  "\\",  "x: *a\n", "<<: \n", "é"}) {
    for (const char* start : {"", "{", "[", "a: ", "a: \"", "- |\n  ", "&a a: 1\nb:\n"}) {
      std::string text = start + Repeat(part, n / std::string_view(part).size());
      text.resize(n);
      EXPECT_NE(Tree(text), "");
    }
  }
}

}  // namespace
}  // namespace headrace::config
