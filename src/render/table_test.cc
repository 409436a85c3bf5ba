#include "render/table.h"

#include <gtest/gtest.h>

#include "render/page.h"

namespace headrace::render {
namespace {

const Table kTable{{{"policy"}, {"rate × 1", Align::kRight}, {"note"}},
                   {{"slo", "99.5 [99.1–99.8] · 100", ""},
                    {"a-policy-with-a-name-longer-than-its-column", "7", "<new>"},
                    {"upper bound"}}};

TEST(Table, ItsColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(RenderText(kTable),
            "policy                                                     rate × 1  note\n"
            "slo                                          99.5 [99.1–99.8] · 100\n"
            "a-policy-with-a-name-longer-than-its-column                       7  <new>\n"
            "upper bound\n");
}

TEST(Table, AsMarkdown) {
  EXPECT_EQ(RenderMarkdown({{{""}, {"b"}}, {{"1", "2"}}}), "| | b |\n|---|---|\n| 1 | 2 |\n");
}

TEST(Table, AsHtmlEscapesItsCells) {
  EXPECT_EQ(RenderHtml({{{"a & b"}, {"n", Align::kRight}}, {{"<x>", "1"}, {"\"y\""}}}),
            "<table><thead><tr><th>a &amp; b</th><th class=\"number\">n</th></tr></thead><tbody>\n"
            "<tr><td>&lt;x&gt;</td><td class=\"number\">1</td></tr>\n"
            "<tr><td>&quot;y&quot;</td><td class=\"number\"></td></tr>\n"
            "</tbody></table>\n");
}

TEST(DisplayWidth, CountsTheColumnsOfATerminal) {
  EXPECT_EQ(DisplayWidth("abc"), 3U);
  EXPECT_EQ(DisplayWidth("±0.12 µs × 2…"), 13U);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1U);  // A combining acute accent.
  EXPECT_EQ(DisplayWidth("推論"), 4U);
  EXPECT_EQ(DisplayWidth("🚀"), 2U);
  EXPECT_EQ(DisplayWidth("\xFF!"), 2U);  // Not UTF-8.
}

TEST(Cut, KeepsWholeCharactersWithinTheColumns) {
  EXPECT_EQ(Cut("longer", 6), "longer");
  EXPECT_EQ(Cut("longer", 5), "long…");
  EXPECT_EQ(Cut("12 µs", 5), "12 µs");
  EXPECT_EQ(Cut("推論推論", 6), "推論…") << "half a character does not fit";
  EXPECT_EQ(Cut("longer", 1), "…");
  EXPECT_EQ(Cut("longer", 0), "");
}

TEST(Pad, FillsUpInColumnsAndNeverCuts) {
  EXPECT_EQ(Pad("µs", 4, Align::kLeft), "µs  ");
  EXPECT_EQ(Pad("推論", 6, Align::kRight), "  推論");
  EXPECT_EQ(Pad("longer", 3, Align::kLeft), "longer");
}

TEST(Page, EscapesItsTitleAndAddsItsStyle) {
  const std::string page = RenderPage("<a>", "p{color:red}", "<p>text</p>");
  EXPECT_TRUE(page.starts_with("<!doctype html>\n"));
  EXPECT_NE(page.find("<title>&lt;a&gt;</title>"), page.npos);
  EXPECT_NE(page.find("p{color:red}</style>"), page.npos);
  EXPECT_NE(page.find("<h1>&lt;a&gt;</h1>\n<p>text</p></body></html>\n"), page.npos);
}

}  // namespace
}  // namespace headrace::render
