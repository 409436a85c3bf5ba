// What a client sends becomes no label, no long text and no other path: docs/security.md.
#include <gmock/gmock.h>

#include "gateway/test_gateway.h"
#include "gateway/test_recording_engine.h"

namespace headrace::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class SecurityTest : public ::testing::Test {
 protected:
  void Start() {
    t_.AddEndpoint("a10", engine_.address());
    t_.Start();
  }

  RecordingEngine engine_;
  TestGateway t_;
};

TEST_F(SecurityTest, NoLabelIsWhatAClientSent) {
  t_.config.models[0].tenants.push_back({.name = "listed", .weight = 2});
  Start();
  const std::string mark = "sent-by-a-client";
  const std::vector<std::string> headers = {"Routing-Strategy: random",
                                            "X-Gateway-Inference-Fairness-ID: " + mark,
                                            "X-Gateway-Inference-Objective: " + mark,
                                            "Authorization: Bearer " + mark,
                                            "X-Request-ID: " + mark,
                                            "User-Agent: " + mark,
                                            "Origin: http://" + mark};
  EXPECT_EQ(t_.Chat(ChatBody(5, false), headers).status, 200);
  EXPECT_EQ(t_.Chat(ChatBody(5, false, "", mark), headers).status, 404);
  EXPECT_EQ(t_.Chat(ChatBody(5, false), {"Routing-Strategy: " + mark}).status, 400);
  EXPECT_EQ(Post(t_.address(), "/" + mark, "{}").status, 404);
  net::RawPeer peer(t_.address());
  peer.Send("SENTBYACLIENT / HTTP/1.1\r\nHost: " + mark + "\r\n\r\n");
  EXPECT_EQ(ReadResponse(peer).status, 501);
  t_.gateway->RefreshMetrics();
  const std::string page = t_.registry.Text();
  EXPECT_THAT(page, HasSubstr("headrace_requests_total"));
  EXPECT_THAT(page, Not(HasSubstr(mark)));
  EXPECT_THAT(page, Not(HasSubstr("SENTBYACLIENT")));
}

TEST_F(SecurityTest, AnIdThatIsLongOrUnprintableIsReplaced) {
  Start();
  const auto id = [&](const std::string& given) {
    return t_.Chat(ChatBody(5, false), {"X-Request-ID: " + given}).Header("x-request-id");
  };
  EXPECT_EQ(id("a b/c"), "a b/c");
  for (const std::string& replaced :
       {std::string(201, 'a'), std::string("\xc3\xa4"), std::string("a\tb")}) {
    EXPECT_EQ(id(replaced).size(), 32U) << replaced;
  }
}

TEST_F(SecurityTest, OtherPathsReachNoEngine) {
  Start();
  for (const char* path :
       {"/metrics", "/v1", "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/sleep",
        "/v1/responses/x/../../../metrics", "/v1/responses/x/%2e%2e/%2e%2e/sleep",
        "/v1/chat/completions/../../../sleep", "//sleep", "/openai/deployments/llama2-7b/sleep",
        "/openai/deployments/llama2-7b/../../sleep", "/v1/models/../../sleep"}) {
    const HttpResponse response = Post(t_.address(), path, ChatBody(5, false));
    EXPECT_TRUE(response.status == 404 || response.status == 405 || response.status == 400)
        << path << " " << response.status;
  }
  EXPECT_THAT(engine_.Posts(), IsEmpty());
}

}  // namespace
}  // namespace headrace::gateway
