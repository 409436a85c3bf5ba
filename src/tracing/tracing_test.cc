#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tracing/span.h"
#include "tracing/trace_context.h"

namespace headrace::tracing {
namespace {

// The example of the specification.
constexpr char kParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContext, IsReadAndWrittenAsItIs) {
  const auto context = ParseTraceContext(kParent, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  ASSERT_TRUE(context);
  EXPECT_EQ(ToText(context->trace), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(ToText(context->span), "00f067aa0ba902b7");
  EXPECT_TRUE(context->sampled());
  EXPECT_EQ(context->state, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  EXPECT_EQ(context->TraceParent(), kParent);
}

TEST(TraceContext, BrokenParentIsNone) {
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  for (const std::string& text : std::vector<std::string>{
           std::string(), std::string("00-"),
           "00-" + trace + "-00f067aa0ba902b7",        // No flags.
           "00-" + trace + "-00f067aa0ba902b7-1",      // One digit of them.
           "00-" + trace + "-00f067aa0ba902b7-01-xy",  // Version 00 ends here.
           "00-" + trace + "-00f067aa0ba902b7-01 ",
           "ff-" + trace + "-00f067aa0ba902b7-01",  // No version.
           "0x-" + trace + "-00f067aa0ba902b7-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-" + std::string(32, '0') + "-00f067aa0ba902b7-01",
           "00-" + trace + "-0000000000000000-01", "00-" + trace + "-00f067aa0ba902b7-0g",
           "00_" + trace + "-00f067aa0ba902b7-01",
           "cc-" + trace + "-00f067aa0ba902b7-01.what",  // More needs a dash.
           std::string(kParent) + "," + kParent,         // Two headers.
       }) {
    EXPECT_FALSE(ParseTraceContext(text, "")) << text;
  }
}

TEST(TraceContext, LaterVersionIsReadAsFarAsItIsKnown) {
  const auto context =
      ParseTraceContext("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what", "");
  ASSERT_TRUE(context);
  EXPECT_EQ(context->TraceParent(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03");
}

TEST(TraceContext, BrokenStateIsLeftOutAndItsTraceGoesOn) {
  const auto state_of = [](const std::string& text) {
    return ParseTraceContext(kParent, text)->state;
  };
  EXPECT_EQ(state_of("a=1,\t b=2 ,,c@d=x y"), "a=1,b=2,c@d=x y");
  for (const char* broken :
       {"a", "=1", "a=", "A=1", "a=1,a=2", "a=b=c", "a b=1", "a=\x01", "a=1,\xC3\xA4=1"}) {
    EXPECT_EQ(state_of(broken), "") << broken;
  }
  std::string many = "k0=v";
  for (int i = 1; i <= 32; ++i) many += ",k" + std::to_string(i) + "=v";
  EXPECT_EQ(state_of(many), "");
  // What was said last stands first, and stays.
  const std::string long_one = "a=1,b=" + std::string(250, 'x') + ",c=" + std::string(250, 'y');
  EXPECT_EQ(state_of(long_one + ",d=4"), long_one);
  EXPECT_EQ(state_of("a=1,b=" + std::string(257, 'x')), "");
}

TEST(TraceStarter, ParentDecidesWhetherASpanIsSampled) {
  TraceStarter never(0, Rng(1), Rng(2));
  const RequestTrace sampled = never.Start(kParent, "a=1");
  EXPECT_TRUE(sampled.sampled());
  EXPECT_EQ(ToText(sampled.parent), "00f067aa0ba902b7");
  EXPECT_EQ(ToText(sampled.context.trace), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(sampled.context.state, "a=1");
  EXPECT_NE(sampled.context.span, sampled.parent);
  TraceStarter always(1, Rng(1), Rng(2));
  std::string parent = kParent;
  parent.back() = '0';
  EXPECT_FALSE(always.Start(parent, "").sampled());
  EXPECT_TRUE(always.Start("nonsense", "a=1").sampled());
  EXPECT_EQ(always.Start("nonsense", "a=1").parent, SpanId{0});
  EXPECT_EQ(always.Start("nonsense", "a=1").context.state, "");
}

TEST(TraceStarter, RatioIsTheShareOfTracesAndGrowsByAdding) {
  TraceStarter starter(0, Rng(3), Rng(4));
  int tenth = 0;
  std::set<std::string> ids;
  constexpr int kTraces = 10'000;
  for (int i = 0; i < kTraces; ++i) {
    const TraceId id = starter.Start("", "").context.trace;
    ids.insert(ToText(id));
    tenth += IsSampled(id, 0.1) ? 1 : 0;
    // Whoever samples more samples these, too.
    EXPECT_LE(IsSampled(id, 0.1), IsSampled(id, 0.5));
    EXPECT_FALSE(IsSampled(id, 0));
    EXPECT_TRUE(IsSampled(id, 1));
  }
  EXPECT_EQ(ids.size(), std::size_t{kTraces});
  EXPECT_NEAR(tenth, 0.1 * kTraces, 150);  // Five standard deviations.
}

TEST(TraceStarter, SamplesWhatOtherImplementationsSample) {
  // The lower 63 bits of the lower half decide, as in OpenTelemetry's SDKs.
  EXPECT_TRUE(IsSampled({.high = ~std::uint64_t{0}, .low = 0x7FFFFFFFFFFFFFFF}, 0.5));
  EXPECT_FALSE(IsSampled({.high = 1, .low = 0x8000000000000000}, 0.5));
}

TEST(RequestTrace, ItsChildrenDiffer) {
  TraceStarter starter(1, Rng(5), Rng(6));
  std::set<SpanId> ids;
  for (int i = 0; i < 100; ++i) {
    const RequestTrace trace = starter.Start("", "");
    ids.insert(trace.context.span);
    for (int n = 0; n < 10; ++n) {
      ids.insert(trace.Child(n));
      EXPECT_EQ(trace.Child(n), trace.ContextOfChild(n).span);
    }
  }
  EXPECT_EQ(ids.size(), 1100U);
}

TEST(OtlpJson, HasIdsInHexAndLongNumbersAsTexts) {
  Span span;
  span.context = *ParseTraceContext(kParent, "a=1");
  span.parent = 0xB;
  span.remote_parent = true;
  span.name = "POST \"/v1\"";
  span.kind = Span::Kind::kServer;
  span.start = 1'700'000'000.25;
  span.end = 1'700'000'001.5;
  span.Add("text", "words");
  span.Add("nothing", "");
  span.Add("count", std::int64_t{9'007'199'254'740'993});
  span.AddNumber("share", 0.5);
  span.AddNumber("unknown", std::numeric_limits<double>::quiet_NaN());
  span.AddFlag("met", true);
  span.events.push_back({"first token", 1'700'000'000.5});
  span.error = true;
  span.error_message = "it broke";
  const auto json = nlohmann::json::parse(OtlpJson({&span, 1}, "gateway", "1.2"));
  const auto& resource = json["resourceSpans"][0];
  EXPECT_EQ(resource["resource"]["attributes"][0].dump(),
            R"({"key":"service.name","value":{"stringValue":"gateway"}})");
  const auto& written = resource["scopeSpans"][0]["spans"][0];
  EXPECT_EQ(written["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(written["spanId"], "00f067aa0ba902b7");
  EXPECT_EQ(written["parentSpanId"], "000000000000000b");
  EXPECT_EQ(written["traceState"], "a=1");
  EXPECT_EQ(written["flags"], 0x301);
  EXPECT_EQ(written["kind"], 2);
  EXPECT_EQ(written["startTimeUnixNano"], "1700000000250000000");
  EXPECT_EQ(written["endTimeUnixNano"], "1700000001500000000");
  EXPECT_EQ(written["events"][0]["timeUnixNano"], "1700000000500000000");
  EXPECT_EQ(written["status"].dump(), R"({"code":2,"message":"it broke"})");
  EXPECT_EQ(written["attributes"].dump(),
            R"([{"key":"text","value":{"stringValue":"words"}},)"
            R"({"key":"count","value":{"intValue":"9007199254740993"}},)"
            R"({"key":"share","value":{"doubleValue":0.5}},)"
            R"({"key":"met","value":{"boolValue":true}}])");
}

}  // namespace
}  // namespace headrace::tracing
