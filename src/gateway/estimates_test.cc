// What engines count must not make the gateway refuse what it could serve.
#include <gmock/gmock.h>

#include "gateway/test_gateway.h"
#include "net/test_fault_engine.h"

namespace headrace::gateway {
namespace {

using testing::HasSubstr;

// A gateway before an engine that counts prompts as the test says.
class Estimates : public testing::TestWithParam<std::string_view> {
 protected:
  Estimates() {
    t_.config.models[0].policy = GetParam();
    t_.AddEndpoint("a10", engine_.address());
    // Prompts of 4,096 tokens and more cannot meet the SLO.
    t_.folder.Write("a10.json", R"({"gpu": "a10", "cost": 1, "created": 1, "slos": {"e2e": 4},)"
                                R"("indexes": [[64], [64, 1024, 16384]],)"
                                R"("tputs": [[1, 1, 0]], "e2e": [[1, 2, 30]]})");
    t_.Start();
  }

  static net::FaultAnswer Counted(const std::string& prompt_tokens) {
    return net::WholeAnswer(
        200, R"({"choices":[{"index":0,"message":{"content":"Deep."},"finish_reason":"stop"}],)"
             R"("usage":{"prompt_tokens":)" +
                 prompt_tokens + R"(,"completion_tokens":3}})");
  }
  void CountAs(const std::string& prompt_tokens) {
    engine_.SetScript([=](int, const net::FaultRequest&) { return Counted(prompt_tokens); });
  }
  // The status of a chat with such content, JSON.
  int Chat(const std::string& content) {
    const HttpResponse response =
        t_.Chat(R"({"model":"llama2-7b","messages":[{"role":"user","content":)" + content + "}]}");
    last_ = response.body;
    return response.status;
  }
  int ChatOf(std::size_t bytes) { return Chat('"' + std::string(bytes, 'x') + '"'); }

  net::FaultEngine engine_{Counted("20")};
  TestGateway t_;
  std::string last_;
};

TEST_P(Estimates, ShortChatsBeforeTheFirstLongPrompt) {
  CountAs("24");
  for (int i = 0; i < 10; ++i) ASSERT_EQ(Chat("\"Hi\""), 200) << last_;
  CountAs("280");
  EXPECT_EQ(ChatOf(1000), 200) << last_;
}

TEST_P(Estimates, ImagesBeforeText) {
  CountAs("9000");
  const std::string image =
      R"([{"type":"text","text":"What is it?"},{"type":"image_url","image_url":{"url":"x"}}])";
  ASSERT_EQ(Chat(image), 200) << last_;
  CountAs("40");
  for (int i = 0; i < 30; ++i) ASSERT_EQ(ChatOf(100), 200) << last_;
  CountAs("9000");
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Chat(image), 200) << last_;
  CountAs("40");
  for (int i = 0; i < 30; ++i) ASSERT_EQ(ChatOf(100), 200) << last_;
}

TEST_P(Estimates, OneWrongCountAfterManyRightOnes) {
  CountAs("40");
  for (int i = 0; i < 100; ++i) ASSERT_EQ(ChatOf(100), 200) << last_;
  for (const char* wrong : {"1000000", "30000", "4294967301", "-7"}) {
    CountAs(wrong);
    ASSERT_EQ(ChatOf(100), 200) << last_;
    CountAs("40");
    for (int i = 0; i < 30; ++i) ASSERT_EQ(ChatOf(100 + i), 200) << last_;
  }
}

TEST_P(Estimates, TheFirstCountIsWrong) {
  CountAs("30000");
  ASSERT_EQ(ChatOf(100), 200) << last_;
  CountAs("40");
  for (int i = 0; i < 30; ++i) ASSERT_EQ(ChatOf(100), 200) << last_;
}

TEST_P(Estimates, WhatWasLearnedIsTriedAgain) {
  // So often that it has to be believed.
  CountAs("30000");
  for (int i = 0; i < 40; ++i) Chat('"' + std::string(1000, 'x') + '"');
  CountAs("270");
  int refused = 0;
  while (refused < 40 && ChatOf(1000) != 200) ++refused;
  EXPECT_LT(refused, 20);
  for (int i = 0; i < 30; ++i) ASSERT_EQ(ChatOf(1000), 200) << last_;
}

TEST_P(Estimates, APromptThatIsTooLongAtLeastIsRefused) {
  const bool refuses = GetParam() == "slo";  // The other one serves it when there is time to spare.
  EXPECT_EQ(ChatOf(100'000), refuses ? 429 : 200);
  if (refuses) EXPECT_THAT(last_, HasSubstr("No GPU type can meet the SLO"));
}

INSTANTIATE_TEST_SUITE_P(Policies, Estimates, testing::Values("slo", "slo-headroom"),
                         [](const auto& info) { return info.param == "slo" ? "slo" : "headroom"; });

}  // namespace
}  // namespace headrace::gateway
