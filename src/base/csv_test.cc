#include "base/csv.h"

#include <gmock/gmock.h>

namespace headrace {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Row(const CsvReader& reader) {
  return {reader.cells().begin(), reader.cells().end()};
}

TEST(Csv, ReadsPlainRows) {
  CsvReader reader(
      "\xEF\xBB\xBF"
      "a,b\r\n\r\n 1 ,2,\n \n3\n",
      "f.csv");
  ASSERT_TRUE(reader.ReadHeader({"a", "b"}));
  ASSERT_TRUE(*reader.NextRow());
  EXPECT_THAT(Row(reader), ElementsAre("1", "2", ""));
  EXPECT_EQ(*reader.TokensAt(0), 1);
  EXPECT_EQ(reader.TokensAt(2).error().message,
            "f.csv:3: \"\" is not a number of tokens; write a whole number");
  ASSERT_TRUE(*reader.NextRow());
  EXPECT_THAT(Row(reader), ElementsAre("3"));
  EXPECT_EQ(reader.At(1).error().message, "f.csv:5: the row has 1 cells; at least 2 are needed");
  EXPECT_FALSE(*reader.NextRow());
}

TEST(Csv, QuotedCellsHoldCommasQuotesAndLineBreaks) {
  CsvReader reader("\"a, b\",\"say \"\"hi\"\"\", \"x\" ,\"two\nlines\"\n\"\",5\r\nlast\n", "f.csv");
  ASSERT_TRUE(*reader.NextRow());
  EXPECT_THAT(Row(reader), ElementsAre("a, b", "say \"hi\"", "x", "two\nlines"));
  ASSERT_TRUE(*reader.NextRow());
  EXPECT_THAT(Row(reader), ElementsAre("", "5"));
  // Lines are those of the file.
  EXPECT_EQ(reader.FailHere("wrong").value().message, "f.csv:3: wrong");
  ASSERT_TRUE(*reader.NextRow());
  EXPECT_THAT(Row(reader), ElementsAre("last"));
  EXPECT_FALSE(*reader.NextRow());
}

TEST(Csv, WhatIsWrittenAsACellReadsBack) {
  EXPECT_EQ(CsvCell("chat 2"), "chat 2");
  for (const char* text : {"", "a, b", "say \"hi\"", "two\nlines", " x", "\"", "µs"}) {
    const std::string row = CsvCell(text) + "," + CsvCell("end");
    CsvReader reader(row, "f.csv");
    ASSERT_TRUE(*reader.NextRow());
    EXPECT_THAT(Row(reader), ElementsAre(text, "end"));
  }
}

TEST(Csv, ALastLineThatBreaksOffIsLeftOut) {
  for (const char* row : {"3", "3,", "3,4", "3,\"4,5", "3,4,\"5"}) {
    const std::string text = std::string("a,b,c\n1,2,\"\"\n") + row;
    CsvReader reader(text, "f.csv");
    ASSERT_TRUE(reader.ReadHeader({"a", "b", "c"}));
    ASSERT_TRUE(*reader.NextRow());
    EXPECT_EQ(reader.broken_line(), 0U);
    const auto next = reader.NextRow();
    ASSERT_TRUE(next) << row;
    EXPECT_FALSE(*next) << row;
    EXPECT_EQ(reader.broken_line(), 3U) << row;
  }
  for (const char* row : {"3,4,5", "3,4,", "3,4,5,6", ""}) {
    const std::string text = std::string("a,b,c\n1,2,3\n") + row;
    CsvReader reader(text, "f.csv");
    while (*reader.NextRow()) {
    }
    EXPECT_EQ(reader.broken_line(), 0U) << row;
  }
}

TEST(Csv, AQuoteThatIsNeverClosedTakesNoRows) {
  for (const char* row : {"1,\"2,3\n4,5", "1,2,\"3\n4,5", "\"1,2\n", "1,\"2\"\"\n3,4"}) {
    const std::string text = std::string("a,b\n") + row;
    CsvReader reader(text, "f.csv");
    ASSERT_TRUE(reader.ReadHeader({"a", "b"}));
    const auto next = reader.NextRow();
    ASSERT_FALSE(next) << row;
    EXPECT_THAT(next.error().message, testing::StartsWith("f.csv:2: the quote before \"")) << row;
    EXPECT_THAT(next.error().message, testing::HasSubstr("is never closed; close it")) << row;
  }
}

}  // namespace
}  // namespace headrace
