#include "config/key_file.h"

#include <gmock/gmock.h>

namespace headrace::config {
namespace {

using access::ApiKey;
using ::testing::HasSubstr;

const std::string kSalt(16, 's');

ApiKey Key(const std::string& name) {
  return {.name = name, .hash = access::HashOfKey(kSalt, "secret-" + name)};
}

std::string Added(const std::string& text, const ApiKey& key) {
  const auto changed = WithKey(text, "keys.yaml", kSalt, key);
  EXPECT_TRUE(changed) << changed.error().message;
  return changed.value_or("");
}

TEST(KeyFile, WhatIsAddedIsRead) {
  ApiKey all = Key("all \"of\" it");
  all.name = "all-\"of\"-it";
  all.tenant = "team";
  all.models = {"meta-llama/Llama-3", "m"};
  all.requests_per_minute = 0.5;
  all.tokens_per_minute = 123'456;
  all.max_in_flight = 3;
  all.priority = -2;
  const std::string text = Added(Added("", Key("one")), all);
  const auto file = ReadKeyFile(text, "keys.yaml");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->salt, kSalt);
  ASSERT_EQ(file->keys.size(), 2u);
  EXPECT_EQ(file->keys[0], Key("one"));
  EXPECT_EQ(file->keys[1], all);
  EXPECT_THAT(text, Not(HasSubstr("secret")));
}

TEST(KeyFile, TheRestOfTheTextStays) {
  std::string text = Added(Added("", Key("one")), Key("two"));
  text += "  # Of the third team.\n";
  text = Added(text, Key("three"));
  const auto without = WithoutKey(text, "keys.yaml", "one");
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_THAT(*without, HasSubstr("# Of the third team."));
  EXPECT_EQ(ReadKeyFile(*without, "keys.yaml")->keys.size(), 2u);
  EXPECT_EQ(Added(*WithoutKey(*without, "keys.yaml", "three"), Key("three")), *without);
}

TEST(KeyFile, WithoutItsLastKeyItLetsNobodyIn) {
  const std::string text = Added("", Key("one"));
  const auto empty = WithoutKey(text, "keys.yaml", "one");
  ASSERT_TRUE(empty) << empty.error().message;
  const auto file = ReadKeyFile(*empty, "keys.yaml");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->keys.empty());
  EXPECT_EQ(Added(*empty, Key("one")), text);
}

TEST(KeyFile, SaysWhatIsWrong) {
  const std::string text = Added("", Key("one"));
  EXPECT_THAT(WithKey(text, "keys.yaml", kSalt, Key("one")).error().message,
              HasSubstr("keys.yaml: has this key already, with the name \"one\""));
  access::ApiKey spaced = Key("two");
  spaced.name = "team a";
  EXPECT_THAT(WithKey(text, "keys.yaml", kSalt, spaced).error().message,
              HasSubstr("the name \"team a\" contains a space"));
  EXPECT_THAT(WithoutKey(text, "keys.yaml", "two").error().message,
              HasSubstr("keys.yaml: has no key named \"two\""));
  EXPECT_THAT(ReadKeyFile("keys: []", "keys.yaml").error().message, HasSubstr("no \"salt\""));
  const auto bad = ReadKeyFile(text + "    hash: 12\n", "keys.yaml");
  EXPECT_THAT(bad.error().message, HasSubstr("keys.yaml:"));
  // A flow list is read, but not changed.
  std::string flow = text.substr(0, text.find("keys:\n"));
  flow += "keys: [{name: a, hash: " + access::ToHex(Key("a").hash) + "}]\n";
  EXPECT_TRUE(ReadKeyFile(flow, "keys.yaml"));
  EXPECT_THAT(WithoutKey(flow + "# more\n", "keys.yaml", "b").error().message, HasSubstr("no key"));
  EXPECT_THAT(WithKey(flow, "keys.yaml", kSalt, Key("b")).error().message,
              HasSubstr("write each key as a block"));
}

}  // namespace
}  // namespace headrace::config
