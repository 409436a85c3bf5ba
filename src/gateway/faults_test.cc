// The gateway before engines that go wrong.
#include <gmock/gmock.h>

#include "gateway/test_gateway.h"
#include "net/test_fault_engine.h"

namespace headrace::gateway {
namespace {

using net::FaultEngine;
using testing::HasSubstr;

constexpr std::string_view kAnswer =
    R"({"choices":[{"index":0,"message":{"content":"Deep."},"finish_reason":"stop"}],)"
    R"("usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}})";

TEST(Faults, AnAnswerThatIsCutOrComesInSingleBytesOrNotAtAll) {
  const net::FaultAnswer good = net::WholeAnswer(200, kAnswer);
  FaultEngine engine([&](int number, const net::FaultRequest&) {
    if (number == 0) return good.InPieces(1);
    if (number == 1) return good.CutTo(9).ThenClose();
    return good.CutTo(good.body() + 5).ThenReset();
  });
  TestGateway t;
  t.AddEndpoint("a10", engine.address());
  t.Start();
  const HttpResponse dripped = t.Chat(ChatBody(5, false));
  EXPECT_EQ(dripped.status, 200);
  EXPECT_EQ(dripped.body, kAnswer);
  EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 502);
  EXPECT_FALSE(t.Chat(ChatBody(5, false)).complete);
  EXPECT_EQ(engine.served(), 3);
  EXPECT_THAT(engine.requests()[0].body, HasSubstr("How deep is the lake?"));
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
}

}  // namespace
}  // namespace headrace::gateway
