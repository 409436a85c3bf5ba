#include "serving/refusal.h"

#include <gtest/gtest.h>

namespace headrace::serving {
namespace {

using scheduler::RefusalReason;
using scheduler::Verdict;

// From a copy of the facts alone: no router, and so no lock of one, is needed.
TEST(Refusal, EveryReasonIsASentence) {
  RefusalFacts facts{.prompt_tokens = 100,
                     .output_tokens = 20,
                     .queued = 1.5,
                     .waiting = 7,
                     .queue_timeout = 60,
                     .deployments = {}};
  const auto sentence = [&](RefusalReason reason) {
    facts.reason = reason;
    return DescribeRefusal("llama", facts);
  };
  Verdict candidate{.kind = Verdict::Kind::kCandidate};
  candidate.expected = 2;
  candidate.target = slo::Target{.seconds = 1};
  facts.deployments = {
      {"a10", true, 0, candidate},
      {"l20", false, 8192, candidate},
      {"l4", true, 0, {.kind = Verdict::Kind::kInfeasible}},
      {"h100",
       true,
       0,
       {.kind = Verdict::Kind::kUnknown, .cause = scheduler::FallbackCause::kHole}}};
  EXPECT_EQ(sentence(RefusalReason::kNoEndpoint), "No endpoint of model 'llama' is up.");
  EXPECT_EQ(sentence(RefusalReason::kQueueFull),
            "The queue of model 'llama' is full (7 requests are waiting).");
  EXPECT_EQ(sentence(RefusalReason::kQueueTimeout),
            "No endpoint became free for a request of about 100 prompt and 20 output tokens within "
            "60 s.");
  EXPECT_EQ(sentence(RefusalReason::kSloUnattainable),
            "No GPU type can meet the SLO of a request of about 100 prompt and 20 output tokens "
            "(a10: expects 2000 ms of 1000 ms allowed, l20: down, l4: no rate meets the SLO, h100: "
            "hole).");
  EXPECT_EQ(sentence(RefusalReason::kSloDeadline),
            "No GPU type can meet the SLO of a request of about 100 prompt and 20 output tokens "
            "any more after waiting 1500 ms (a10: expects 2000 ms of 1000 ms allowed, l20: down, "
            "l4: no rate meets the SLO, h100: hole).");
}

TEST(Refusal, SaysWhyAForecastLetARequestWait) {
  RefusalFacts facts{.reason = RefusalReason::kQueueTimeout,
                     .prompt_tokens = 100,
                     .output_tokens = 20,
                     .queue_timeout = 60,
                     .hold = scheduler::Hold::kPromise,
                     .held_cost = 0.336,
                     .deployments = {}};
  EXPECT_EQ(DescribeRefusal("llama", facts),
            "No endpoint could take a request of about 100 prompt and 20 output tokens within 60 s "
            "without breaking promises (0.34 expected at the best one when it was first held).");
  facts.hold = scheduler::Hold::kGaveUp;
  EXPECT_EQ(DescribeRefusal("llama", facts),
            "The SLO of a request of about 100 prompt and 20 output tokens could no longer be met, "
            "and no endpoint had time to spare for it within 60 s.");
  facts.hold = scheduler::Hold::kTurn;
  EXPECT_EQ(DescribeRefusal("llama", facts),
            "No endpoint became free for a request of about 100 prompt and 20 output tokens within "
            "60 s.");
}

TEST(Refusal, SaysWhereTheContextIsTooShort) {
  RefusalFacts facts{.reason = RefusalReason::kNoEndpoint,
                     .prompt_tokens = 5000,
                     .output_tokens = 20,
                     .context = 5020};
  facts.deployments = {{"a10", true, 4096, {.kind = Verdict::Kind::kTooLong}},
                       {"l20", false, 8192, {.kind = Verdict::Kind::kCandidate}}};
  EXPECT_EQ(DescribeRefusal("llama", facts),
            "No endpoint of model 'llama' is up whose context holds a request of about 5020 tokens "
            "(a10: its context of 4096 tokens is too short, l20: down).");
  facts.at_least = true;
  EXPECT_EQ(DescribeRefusal("llama", facts),
            "No endpoint of model 'llama' is up whose context holds a request of at least 5020 "
            "tokens (a10: its context of 4096 tokens is too short, l20: down).");
  facts.reason = RefusalReason::kQueueTimeout;
  facts.queue_timeout = 60;
  EXPECT_EQ(DescribeRefusal("llama", facts),
            "No endpoint became free for a request of at least 5000 prompt and about 20 output "
            "tokens within 60 s.");
  facts.reason = RefusalReason::kNoEndpoint;
  facts.deployments[0].up = false;
  EXPECT_EQ(DescribeRefusal("llama", facts), "No endpoint of model 'llama' is up.");
}

}  // namespace
}  // namespace headrace::serving
