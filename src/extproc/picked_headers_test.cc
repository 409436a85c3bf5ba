// What the picker reads of a request's head, and what it changes there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "extproc/picked_request.h"
#include "extproc/test_stream.h"

namespace headrace::extproc {
namespace {

using serving::Chat;
using serving::kAnswer;
using serving::kEngine;
using testing::HasSubstr;

TEST(Headers, WhatOnlyThePickerIsToldIsTakenAway) {
  Pool pool;
  Stream stream(pool);
  stream.Ask(Chat(false), {{"x-slo-ttft-ms", "500"},
                           {"routing-strategy", "least-request"},
                           {"x-gateway-inference-objective", "chat"},
                           {"x-request-id", "mine"},
                           {"x-other", "stays"}});
  const HeaderMutation mutation = HeadersOf(stream.Take().front());
  EXPECT_TRUE(Removes(mutation, "x-slo-ttft-ms"));
  EXPECT_TRUE(Removes(mutation, "routing-strategy"));
  EXPECT_TRUE(Removes(mutation, "x-gateway-inference-objective"));
  EXPECT_FALSE(Removes(mutation, "x-other"));
  EXPECT_EQ(HeaderIn(mutation, "accept-encoding"), "identity");
  EXPECT_EQ(HeaderIn(mutation, "x-request-id"), "");  // It is as it was.
  stream.Answer(kWhole, kAnswer);
  const HeaderMutation response = HeadersOf(stream.Take().front());
  EXPECT_EQ(HeaderIn(response, "x-request-id"), "mine");
  EXPECT_EQ(HeaderIn(response, "routing-strategy"), "least-request");
  EXPECT_EQ(HeaderIn(response, "target-deployment"), "a10");
}

// What the engine gets for a header of the request: "" if it is taken away, "as it was" if it
// stays.
std::string Sent(const std::vector<ProcessingResponse>& replies, std::string_view name) {
  for (const auto& reply : replies) {
    const auto& mutation = reply.request_headers().response().header_mutation();
    for (const auto& option : mutation.set_headers()) {
      if (option.header().key() == name) return option.header().raw_value();
    }
    for (const auto& removed : mutation.remove_headers()) {
      if (removed == name) return "";
    }
  }
  return "as it was";
}

TEST(Headers, TheEngineIsToldOfTheTry) {
  constexpr char kParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  Pool pool;
  pool.config.tracing.endpoint = "http://127.0.0.1:4318";
  Stream stream(pool);
  stream.Ask(Chat(false), {{"traceparent", kParent}, {"tracestate", "a=1"}, {"tracestate", "b=2"}});
  const auto replies = stream.Take();
  stream.Answer(kWhole, kAnswer);
  stream.Close();
  ASSERT_TRUE(pool.Last().trace);
  EXPECT_EQ(tracing::ToText(pool.Last().trace->parent), "00f067aa0ba902b7");
  EXPECT_EQ(Sent(replies, "traceparent"),
            pool.Last().trace->ContextOfChild(serving::TryChild(0)).TraceParent());
  EXPECT_THAT(Sent(replies, "traceparent"), HasSubstr("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
  EXPECT_EQ(Sent(replies, "tracestate"), "a=1,b=2");

  Stream broken(pool);
  broken.Ask(Chat(false), {{"traceparent", "what"}, {"tracestate", "a=1"}});
  const auto anew = broken.Take();
  EXPECT_THAT(Sent(anew, "traceparent"), testing::StartsWith("00-"));
  EXPECT_EQ(Sent(anew, "tracestate"), "");
  broken.Close();

  pool.config.tracing.endpoint.clear();
  Stream untraced(pool);
  untraced.Ask(Chat(false), {{"traceparent", "what"}});
  EXPECT_EQ(Sent(untraced.Take(), "traceparent"), "as it was");
}

TEST(Headers, ARouteMayRewriteTheModel) {
  for (const Modes& modes : {kFullDuplex, kBuffered}) {
    Pool pool;
    Stream stream(pool, modes);
    stream.Ask(Chat(false, "review"), {{"x-gateway-model-name-rewrite", "llama"}});
    const auto replies = stream.Take();
    const auto& body = replies.back().request_body().response().body_mutation();
    EXPECT_EQ(body.has_streamed_response() ? body.streamed_response().body() : body.body(),
              Chat(false, "llama"));
    const auto& with_destination = modes.request == kFullDuplex.request ? replies[0] : replies[1];
    EXPECT_TRUE(Removes(HeadersOf(with_destination), "x-gateway-model-name-rewrite"));
  }
}

TEST(Headers, ABodyThatIsNotReadStaysAsItIs) {
  Pool pool;
  Stream stream(pool);
  ProcessingRequest head = RequestHeaders(kFullDuplex, {}, false, "/an/engines/own");
  for (auto& header : *head.mutable_request_headers()->mutable_headers()->mutable_headers()) {
    if (header.key() == "content-type") header.set_raw_value("text/plain");
  }
  stream.Say(head);
  stream.Say(RequestBody("How deep?", true));
  EXPECT_EQ(stream.Destination(), kEngine);
  EXPECT_EQ(stream.Text(), "How deep?");
}

TEST(Headers, PathsBecomeThoseOfEngines) {
  Pool pool;
  pool.config.base_path = "/llm";
  const auto target = [&pool](std::string_view path) {
    Stream stream(pool);
    stream.Say(RequestHeaders(kFullDuplex, {}, false, path));
    stream.Say(RequestBody(R"({"messages":[]})", true));
    return HeaderIn(HeadersOf(stream.Take().front()), ":path");
  };
  EXPECT_EQ(target("/v1/chat/completions"), "");
  EXPECT_EQ(target("/llm/v1/chat/completions?x=1"), "/v1/chat/completions?x=1");
  EXPECT_EQ(target("/openai/deployments/llama/chat/completions?api-version=1"),
            "/v1/chat/completions?api-version=1");
  EXPECT_EQ(target("/an/engines/own/"), "");
  // What an engine would take for it is read as it, and its tokens count.
  EXPECT_EQ(target("/v1/%63hat%2Fcompletions"), "/v1/chat/completions");
}

// Whatever its type says: an engine may read it all the same.
TEST(Headers, ABodyThatIsAnObjectOfJsonIsRead) {
  Pool pool;
  const auto ask = [&pool](std::string_view type, std::string_view body) {
    Stream stream(pool);
    ProcessingRequest head = RequestHeaders(kFullDuplex, {}, false, "/v1/rerank");
    for (auto& header : *head.mutable_request_headers()->mutable_headers()->mutable_headers()) {
      if (header.key() == "content-type") header.set_raw_value(std::string(type));
    }
    stream.Say(head);
    stream.Say(RequestBody(body, true));
    return stream.Refusal();
  };
  for (const std::string_view type : {"text/plain", "application/octet-stream", "image/png"}) {
    EXPECT_EQ(ask(type, R"({"model":"llama"})"), 0) << type;
    EXPECT_EQ(ask(type, R"({"model":"theirs"})"), 404) << type;
    EXPECT_EQ(ask(type, "\xEF\xBB\xBF \n{\"model\":\"theirs\"}"), 400) << type;
    EXPECT_EQ(ask(type, R"({"model":"llama","model":"theirs"})"), 404) << "the last one counts";
    EXPECT_EQ(ask(type, "\x89PNG {}"), 0) << type;
  }
}

TEST(Headers, APackedBodyIsUnpacked) {
  const std::string body = Chat(false);
  std::string packed(1000, '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(body.data()), body.size());
  packed.resize(size);
  Pool pool;
  Stream stream(pool);
  stream.Ask(packed, {{"content-encoding", "deflate"}});
  EXPECT_EQ(stream.Text(), body);
  EXPECT_TRUE(Removes(HeadersOf(stream.Take().front()), "content-encoding"));
}

TEST(Headers, WhatIsUnpackedCountsAsHeld) {
  std::string packed(100'000, '\0');
  uLongf size = packed.size();
  const std::string body(5 << 20, ' ');
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(body.data()), body.size());
  packed.resize(size);
  Pool pool;
  pool.config.limits.bodies = 4 << 20;
  Stream stream(pool);
  stream.Ask(packed, {{"content-encoding", "deflate"}});
  EXPECT_EQ(stream.Refusal(), 503);
  EXPECT_EQ(pool.context.held_bytes, 0);
}

}  // namespace
}  // namespace headrace::extproc
