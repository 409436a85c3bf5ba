#include "render/top_text.h"

#include <gmock/gmock.h>

#include <sstream>
#include <string>
#include <vector>

namespace headrace::render {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string Endpoint(const std::string& address, const std::string& more = R"("up": true)",
                     const std::string& circuit = R"("state": "closed")") {
  return R"({"address": ")" + address + R"(", )" + more +
         R"(, "in_flight": 12, "load": 0.61, "ejection": {)" + circuit +
         R"(}, "forecast": {"scale": 1.02, "prompts_in_line": 3}})";
}

std::string Status(const std::string& endpoints, const std::string& more = "") {
  return R"({"version": "0.1.0", "ready": true, )" + more +
         R"("models": [{"name": "llama2-7b", "policy": "slo-headroom", "slo": {"tpot_s": 0.05},
      "in_flight": 24, "queue": {"length": 6, "sub_queues": [
        {"prompt_tokens": 128, "output_tokens": 64, "length": 3},
        {"prompt_tokens": 0, "output_tokens": 0, "length": 2},
        {"prompt_tokens": 0, "output_tokens": 0, "length": 1, "late": true}]},
      "deployments": [{"name": "a10", "endpoints": [)" +
         endpoints + "]}]}]}";
}

constexpr char kTimeline[] = R"({"models": [{"name": "llama2-7b", "interval_s": 10,
  "ended": {"completed": [0, 50, 50], "refused": [0, 0, 2]}, "promised": [0, 50, 50],
  "met": [0, 50, 45], "output_tokens": [0, 5000, 5000], "ttft_p50_s": [null, 0.2, 0.21],
  "ttft_p95_s": [null, 0.4, 0.8], "tpot_p50_s": [null, 0.02, 0.021],
  "tpot_p95_s": [null, 0.03, 0.032]}],
  "failures": [{"at": 1748888478, "model": "llama2-7b", "request_id": "chat-7",
    "outcome": "refused", "why": "It waited until no GPU type could meet the SLO any more."}]})";

TopPicture Picture(std::string status) {
  return {.address = "127.0.0.1:9090",
          .status = std::move(status),
          .timeline = kTimeline,
          .asked = 1748888480};
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(TopText, ShowsTheFleetAtAGlance) {
  const std::string status =
      Status(Endpoint("10.0.0.11:8000") + "," +
                 Endpoint("10.0.0.12:8000", R"("up": false, "fault": "connection refused")") + "," +
                 Endpoint("10.0.0.13:8000", R"("up": true)",
                          R"("state": "ejected", "last_fault": "timeout", "returns_in_s": 7.5)") +
                 "," + Endpoint("10.0.0.14:8000", R"("up": true, "drained": true)"),
             R"("configuration": {"file": "h.yaml", "state": "in force", "faults": [],
                "awaiting_restart": ["threads"]}, )");
  EXPECT_EQ(TopText(Picture(status), {.width = 100}),
            R"(headrace 0.1.0  ready  127.0.0.1:9090  18:21:20 UTC
Needs a restart: threads

llama2-7b  slo-headroom, tpot 50 ms
up 2 of 4   running 24   waiting 6   SLO met 95.0 %   req/s 5.00   tok/s 500
TTFT 210 ms, P95 800 ms   per token 21 ms, P95 32 ms
30 min: met  █▇│ TTFT P95  ▅█│
waiting: 3 of 128 → 64, 2 without SLO, 1 late
ENDPOINT        DEPLOYMENT  STATE    LOAD                        RUN  PROMPTS  FAULT
10.0.0.11:8000  a10         up       ████████████░░░░░░░░  61 %   12        3
10.0.0.12:8000  a10         down     ████████████░░░░░░░░  61 %   12        3  connection refused
10.0.0.13:8000  a10         ejected  ████████████░░░░░░░░  61 %   12        3  timeout, back in 7.5…
10.0.0.14:8000  a10         drained  ████████████░░░░░░░░  61 %   12        3

UTC       OUTCOME  MODEL      WHY                                                       REQUEST
18:21:18  refused  llama2-7b  It waited until no GPU type could meet the SLO any more.  chat-7
)");
}

TEST(TopText, FitsEveryWidthAndHeight) {
  std::string endpoints = Endpoint("a-host-with-a-long-name.fleet.example.org:8000");
  for (int i = 1; i < 40; ++i) endpoints += "," + Endpoint("10.0.0." + std::to_string(i) + ":8000");
  endpoints += "," + Endpoint("10.0.1.1:8000", R"("up": false)");
  for (const std::size_t width : {60, 72, 80, 100, 140, 220}) {
    for (const std::size_t height : {0, 10, 24, 60}) {
      const TextStyle style{.width = width, .height = height};
      const std::vector<std::string> lines = LinesOf(TopText(Picture(Status(endpoints)), style));
      for (const std::string& line : lines) EXPECT_LE(DisplayWidth(line), width) << line;
      if (height > 0) EXPECT_LE(lines.size(), height);
    }
  }
  // What is not well is shown where not all has room.
  const std::string text = TopText(Picture(Status(endpoints)), {.width = 80, .height = 24});
  EXPECT_THAT(text, HasSubstr("SLOWER\n10.0.1.1:8000          a10         down"));
  EXPECT_THAT(text, HasSubstr(" more, all up\n"));
  EXPECT_THAT(text, HasSubstr("chat-7"));
}

TEST(TopText, SaysWhenNothingNewerComes) {
  TopPicture picture = Picture(Status(Endpoint("10.0.0.11:8000")));
  picture.notice = "Trying again: no answer from the gateway.";
  const std::string text = TopText(picture, {});
  EXPECT_THAT(text, HasSubstr("18:21:20 UTC\nTrying again: no answer from the gateway.\n"));
  EXPECT_THAT(text, HasSubstr("10.0.0.11:8000"));
  // And before anything has come.
  EXPECT_EQ(TopText({.address = "here:1", .notice = "No."}, {}),
            "headrace  unknown  here:1\nNo.\n");
}

TEST(TopText, WhatOthersWriteDoesNothingToTheTerminal) {
  const std::string status = Status(Endpoint("\\u001b[2J"));
  EXPECT_THAT(TopText(Picture(status), {}), Not(HasSubstr("\x1b")));
  EXPECT_THAT(TopText(Picture(status), {.color = true}), Not(HasSubstr("\x1b[2J")));
  for (const char* text : {"", "[]", "7", R"({"models": [1, {"queue": 3, "deployments": {}}]})"}) {
    TopText({.status = text, .timeline = text}, {});
  }
}

TEST(TopText, ColoursAreForThoseWhoWantThem) {
  const TopPicture picture = Picture(Status(Endpoint("10.0.0.11:8000")));
  EXPECT_THAT(TopText(picture, {.color = true}), HasSubstr("\x1b[32mup\x1b[0m"));
  EXPECT_THAT(TopText(picture, {}), Not(HasSubstr("\x1b")));
  EXPECT_THAT(TopText(picture, {}), StartsWith("headrace 0.1.0  ready"));
}

}  // namespace
}  // namespace headrace::render
