#include "render/explanation_text.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>
#include <string>

namespace headrace::render {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kRequest[] = R"({
  "request_id": "code-1", "model": "llama2-7b", "arrived": 1748888478.9, "outcome": "completed",
  "why": "Failed at a10 10.0.0.9:8000: connection refused. Least expected broken promises: 0.010 here, 0.340 at the next best, a10 10.0.0.11:8000.",
  "policy": "slo-headroom", "slo": {"ttft_s": 1, "tpot_s": 0.05}, "queued_ms": 12.5,
  "hold": "promise",
  "prompt_tokens": {"expected": 120, "counted": 118}, "output_tokens": {"expected": 40},
  "deployment": "l20", "endpoint": "10.0.0.12:8000",
  "failed_tries": [{"deployment": "a10", "endpoint": "10.0.0.9:8000", "fault": "connect",
                    "why": "connection refused", "sent_ms": 0.1, "took_ms": 2}],
  "predicted": {"ttft_ms": 797.967, "tpot_ms": 22.924, "e2e_ms": 1692.021, "miss": 0.01, "harm": 0,
                "e2e_of_this_length_ms": 1500},
  "actual": {"ttft_ms": 739.682, "tpot_ms": 24.235, "e2e_ms": 1684.845, "met_slo": false},
  "candidates": [
    {"deployment": "l20", "endpoint": "10.0.0.12:8000", "chosen": true, "cost": 0.01,
     "ttft_ms": 797.967, "tpot_ms": 22.924, "e2e_ms": 1692.021, "miss": 0.01, "harm": 0,
     "harmed": [{"request_id": "chat-7", "miss_before": 0.02, "miss_after": 0.05}]},
    {"deployment": "a10", "endpoint": "10.0.0.11:8000", "cost": 0.34, "ttft_ms": 900,
     "tpot_ms": 40, "e2e_ms": 2500, "miss": 0.34}]
})";

TEST(ExplanationText, ShowsWhatWasPredictedBesideWhatHappened) {
  EXPECT_EQ(ExplanationText(kRequest, {}),
            R"(code-1: completed; model llama2-7b, arrived 2025-06-02 18:21:18 UTC
at l20 10.0.0.12:8000, by slo-headroom
Failed at a10 10.0.0.9:8000: connection refused. Least expected broken promises: 0.010 here, 0.340
at the next best, a10 10.0.0.11:8000.

                            PREDICTED  HAPPENED
in the queue                        –   12.5 ms  held: promise
TTFT                           798 ms    740 ms
time per token                22.9 ms   24.2 ms
end                            1.69 s    1.68 s
end, of this length             1.5 s    1.68 s
prompt tokens                     120       118
output tokens                      40         –
SLO                      1.0 % missed    missed  tpot 50 ms, ttft 1 s
others' promises broken         0.000         –

FAILED BEFORE  ENDPOINT       FAULT    SENT AFTER  TOOK  WHY
a10            10.0.0.9:8000  connect      100 µs  2 ms  connection refused

   CANDIDATE  ENDPOINT         COST    TTFT  PER TOKEN     END  MISSES   HARM
→  l20        10.0.0.12:8000  0.010  798 ms    22.9 ms  1.69 s   1.0 %  0.000
   a10        10.0.0.11:8000  0.340  900 ms      40 ms   2.5 s  34.0 %      –

HARMED  AT              MISSED BEFORE  AFTER
chat-7  10.0.0.12:8000          2.0 %  5.0 %
)");
}

TEST(ExplanationText, DeploymentsAreCandidatesOfPoliciesThatReadProfiles) {
  const std::string text = ExplanationText(
      R"({"request_id": "r", "outcome": "completed", "why": "So.", "candidates": [
           {"deployment": "a10", "chosen": true, "expected_ms": 500, "allowed_ms": 1000,
            "share": 0.25, "least_load": 0.5}]})",
      {});
  EXPECT_THAT(text, HasSubstr("→  a10          500 ms      1 s                25.0 %      50.0 %"));
  EXPECT_THAT(text, Not(HasSubstr("TTFT")));
}

TEST(ExplanationText, ARefusalSaysWhy) {
  const std::string text = ExplanationText(
      R"({"request_id": "no", "model": "m", "outcome": "refused", "reason": "slo_deadline",
          "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
          "why": "It waited until no GPU type could meet the SLO any more.", "queued_ms": 900})",
      {.width = 40});
  EXPECT_THAT(text, HasSubstr("no: refused (slo_deadline); model m"));
  EXPECT_THAT(text, HasSubstr("\ntrace 4bf92f3577b34da6a3ce929d0e0e4736\n"));
  EXPECT_THAT(text, HasSubstr("It waited until no GPU type could meet\nthe SLO any more.\n"));
  EXPECT_THAT(text, HasSubstr("900 ms"));
}

// Names are the clients' own.
TEST(ExplanationText, WhatClientsWriteDoesNothingToTheTerminal) {
  const std::string page = R"({"request_id": "\u001b[2J", "why": "\u001b]0;x\u0007", "model": 7})";
  EXPECT_THAT(ExplanationText(page, {}), Not(HasSubstr("\x1b")));
  EXPECT_THAT(RequestsText(R"({"requests": [)" + page + "]}", {}), Not(HasSubstr("\x1b")));
  for (const char* text :
       {"", "[]", "<html>", "7", R"({"requests": [1, null], "candidates": 3})"}) {
    ExplanationText(text, {});
    RequestsText(text, {});
  }
}

TEST(RequestsText, FitsTheTerminalAndKeepsIdsWhole) {
  const std::string id(32, 'a');
  const std::string page = R"({"requests": [{"request_id": ")" + id +
                           R"(", "model": "m", "outcome": "completed", "endpoint": "10.0.0.1:8000",
      "arrived": 1748888478, "queued_ms": 1, "actual": {"e2e_ms": 1500, "ttft_ms": 20},
      "why": "Least expected broken promises: 0.010 here, 0.340 at the next best, a10 x:1."}]})";
  for (const std::size_t width : {60, 80, 100, 140, 200}) {
    std::istringstream lines(RequestsText(page, {.width = width}));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(DisplayWidth(line), width) << line;
    }
    EXPECT_THAT(RequestsText(page, {.width = width}), HasSubstr("18:21:18  " + id + "  completed"));
  }
  EXPECT_THAT(RequestsText(page, {.width = 200}), HasSubstr("a10 x:1."));
  EXPECT_EQ(RequestsText(R"({"kept": 1024, "requests": []})", {}), "no request has ended yet\n");
}

}  // namespace
}  // namespace headrace::render
