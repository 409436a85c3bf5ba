#include "extproc/picker_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "extproc/test_envoy.h"

namespace headrace::extproc {
namespace {

using gateway::ChatBody;

TEST(PickerServer, PicksAnEndpoint) {
  TestPicker picker;
  picker.StartWithEngine();
  EnvoyStream stream(*picker.stub);
  const std::string body = ChatBody(64, false);
  stream.Send(RequestHeaders({}));
  stream.Send(RequestBody(body, true));
  const ProcessingResponse head = stream.Receive();
  ASSERT_TRUE(head.has_request_headers()) << head.DebugString();
  EXPECT_EQ(DestinationIn(head), picker.engine());
  const ProcessingResponse sent = stream.Receive();
  const auto& streamed = sent.request_body().response().body_mutation().streamed_response();
  EXPECT_EQ(streamed.body(), body);
  EXPECT_TRUE(streamed.end_of_stream());

  stream.Send(ResponseHeaders({{":status", "200"}, {"content-type", "application/json"}}));
  const std::string answer =
      R"({"choices":[{"message":{"content":"Deep."}}],)"
      R"("usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}})";
  stream.Send(ResponseBody(answer, true));
  const ProcessingResponse response = stream.Receive();
  EXPECT_EQ(HeaderIn(HeadersOf(response), "target-pod"), picker.engine());
  const ProcessingResponse rest = stream.Receive();
  EXPECT_EQ(rest.response_body().response().body_mutation().streamed_response().body(), answer);
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_TRUE(gateway::Eventually([&] { return picker.Idle(); }));
}

}  // namespace
}  // namespace headrace::extproc
