// The gateway before engines that go wrong: every fault, in every phase of an answer, whole and
// streamed. What the client sees, what the ledger says, and that nothing is left behind.
#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "gateway/test_gateway.h"
#include "net/test_fault_engine.h"

namespace headrace::gateway {
namespace {

using Json = nlohmann::json;
using net::FaultAnswer;
using net::FaultEngine;
using net::FaultRequest;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kWhole =
    R"({"choices":[{"index":0,"message":{"content":"Deep."},"finish_reason":"stop"}],)"
    R"("usage":{"prompt_tokens":12,"completion_tokens":2,"total_tokens":14}})";
constexpr std::string_view kError = R"({"error":{"message":"No.","type":"server_error"}})";

std::string Event(std::string_view json) { return "data: " + std::string(json) + "\n\n"; }
std::string Token(std::string_view text, std::string_view end = "null") {
  return Event(R"({"choices":[{"index":0,"delta":{"content":")" + std::string(text) +
               R"("},"finish_reason":)" + std::string(end) + "}]}");
}

FaultAnswer Good(bool stream) {
  if (!stream) return net::WholeAnswer(200, kWhole);
  return net::StreamAnswer(
      {Token("De"), Token("ep.", "\"stop\""),
       Event(R"({"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":2}})"),
       Event("[DONE]")});
}
// As the client gets it, which did not ask for usage.
std::string GoodBody(bool stream) {
  return stream ? Token("De") + Token("ep.", "\"stop\"") + Event("[DONE]") : std::string(kWhole);
}

// What the client sees of a fault, when no other endpoint is there.
struct Seen {
  int status = 0;
  bool breaks = false;  // The answer begins and breaks off: a whole one's connection, a stream's
                        // with an error event.
  std::string outcome;
};

struct Fault {
  std::string name;
  std::function<FaultAnswer(const FaultAnswer& good)> bend;  // Empty: it refuses connections.
  Seen seen;
  std::string cause;  // Of the retry; empty: it is not tried again.
};

FaultAnswer Status(int status, const std::vector<std::string>& headers = {}) {
  return net::WholeAnswer(status, kError, headers);
}

std::vector<Fault> Faults() {
  constexpr std::size_t kInHead = 40;
  // Within the second event of a stream: a piece of the first one would not be passed on.
  const auto in_body = [](const FaultAnswer& good) { return good.CutTo(good.bytes.find("ep.")); };
  const Seen kBadGateway{.status = 502, .outcome = "failed"};
  const Seen kTimedOut{.status = 504, .outcome = "timed_out"};
  const Seen kBroken{.status = 200, .breaks = true, .outcome = "failed"};
  std::vector<Fault> faults = {
      {"Refuses", nullptr, {.status = 503, .outcome = "refused"}, "connect"},
      // Before the head.
      {"Closes", [](const auto& good) { return good.CutTo(0).ThenClose(); }, kBadGateway, "closed"},
      {"Resets", [](const auto& good) { return good.CutTo(0).ThenReset(); }, kBadGateway, "closed"},
      {"Hangs", [](const auto& good) { return good.CutTo(0).ThenHang(); }, kTimedOut, "timeout"},
      {"SendsGarbage",
       [](const auto&) { return FaultAnswer{"\x16\x03\x01\x02 no HTTP\r\n\r\n"}.ThenHang(); },
       kBadGateway, "garbled"},
      {"SwitchesProtocols",
       [](const auto&) { return FaultAnswer{"HTTP/1.1 101 Go\r\n\r\n"}.ThenHang(); }, kBadGateway,
       "garbled"},
      {"HasAnEndlessHead",
       [](const auto&) {
         return FaultAnswer{"HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x')}.ThenHang();
       },
       kBadGateway, "garbled"},
      // In the head.
      {"ClosesInTheHead", [](const auto& good) { return good.CutTo(kInHead).ThenClose(); },
       kBadGateway, "closed"},
      {"ResetsInTheHead", [](const auto& good) { return good.CutTo(kInHead).ThenReset(); },
       kBadGateway, "closed"},
      {"HangsInTheHead", [](const auto& good) { return good.CutTo(kInHead).ThenHang(); }, kTimedOut,
       "timeout"},
      // Between head and body.
      {"ClosesAfterTheHead", [](const auto& good) { return good.CutTo(good.body()).ThenClose(); },
       kBadGateway, "closed"},
      {"ResetsAfterTheHead", [](const auto& good) { return good.CutTo(good.body()).ThenReset(); },
       kBadGateway, "closed"},
      {"HangsAfterTheHead", [](const auto& good) { return good.CutTo(good.body()).ThenHang(); },
       kTimedOut, "timeout"},
      // In the body.
      {"ClosesInTheBody", [=](const auto& good) { return in_body(good).ThenClose(); }, kBroken, ""},
      {"ResetsInTheBody", [=](const auto& good) { return in_body(good).ThenReset(); }, kBroken, ""},
      {"HangsInTheBody",
       [=](const auto& good) { return in_body(good).ThenHang(); },
       {.status = 200, .breaks = true, .outcome = "timed_out"},
       ""},
      // Nothing but slow.
      {"Drips",
       [](const auto& good) { return good.InPieces(7); },
       {.status = 200, .outcome = "completed"},
       ""},
  };
  for (const int status : {400, 401, 404, 408, 409, 413, 422, 500, 501}) {
    faults.push_back({"Says" + std::to_string(status),
                      [=](const auto&) { return Status(status); },
                      {.status = status,
                       .outcome = status == 408 || status == 500 ? "engine_error" : "client_error"},
                      ""});
  }
  for (const int status : {429, 502, 503, 504}) {
    faults.push_back({"Says" + std::to_string(status),
                      [=](const auto&) { return Status(status, {"X-Engine: 7"}); },
                      {.status = status, .outcome = "engine_error"},
                      status == 429 || status == 503 ? "busy" : "status"});
  }
  return faults;
}

class Matrix : public testing::TestWithParam<std::tuple<Fault, bool>> {
 protected:
  Matrix() {
    t_.config.threads = 1;
    t_.config.models[0].policy = "least-request";
    t_.config.health.interval = 3600;  // Only the requests find out.
    t_.config.health.timeout = 3600;
    t_.config.timeouts.first_byte = t_.config.timeouts.whole = t_.config.timeouts.idle = 0.1;
    t_.config.timeouts.drain = 0.1;
  }

  const Fault& fault() const { return std::get<0>(GetParam()); }
  bool stream() const { return std::get<1>(GetParam()); }

  // Of the engines, the first that gets a request goes wrong.
  void AddEngine() {
    engines_.push_back(std::make_unique<FaultEngine>([this](int, const FaultRequest& request) {
      const FaultAnswer good = Good(request.streams());
      return requests_++ == 0 && fault().bend ? fault().bend(good) : good;
    }));
    t_.AddEndpoint("a10", engines_.back()->address());
  }
  void Start() {
    t_.Start();
    recording_ = t_.gateway->recorder().Start("llama2-7b", 3600);
    if (!fault().bend) engines_[0]->Refuse();
  }
  HttpResponse Chat() const { return t_.Chat(ChatBody(5, stream())); }

  // The request's line in the ledger; afterwards nothing is left of it.
  Json Ended() {
    std::string line;
    EXPECT_TRUE(Eventually([&] { return !(line = recording_->Take()).empty(); }));
    EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
    EXPECT_EQ(t_.gateway->pools().list()[0]->retries().taken(), 0);
    EXPECT_EQ(t_.Metric("headrace_requests_total"), 1);
    return Json::parse(line);
  }
  void ExpectSeen(const HttpResponse& response) const {
    EXPECT_EQ(response.status, fault().seen.status);
    if (!fault().seen.breaks) {
      EXPECT_TRUE(response.complete);
      return;
    }
    EXPECT_EQ(response.complete, stream());
    if (stream()) {
      EXPECT_THAT(response.body, HasSubstr("\"error\""));
      EXPECT_THAT(response.body, Not(HasSubstr("[DONE]")));
    }
  }

  TestGateway t_;
  std::atomic<int> requests_ = 0;
  std::vector<std::unique_ptr<FaultEngine>> engines_;
  std::shared_ptr<serving::Recording> recording_;
};

TEST_P(Matrix, AtTheOnlyEndpoint) {
  AddEngine();
  Start();
  const HttpResponse response = Chat();
  ExpectSeen(response);
  if (fault().name.starts_with("Says")) {
    EXPECT_EQ(response.body, kError) << "the engine's own";
    EXPECT_EQ(response.Header("target-pod"), engines_[0]->address());
    if (!fault().cause.empty()) {
      EXPECT_EQ(response.Header("x-engine"), "7");
    }
  }
  const Json line = Ended();
  EXPECT_EQ(line["outcome"], fault().seen.outcome);
  EXPECT_EQ(line.contains("failed_tries"), fault().cause == "connect");
  const bool served = fault().seen.status == 200 && !fault().seen.breaks;
  EXPECT_EQ(t_.Status().learned_lengths, served ? 1 : 0);
}

TEST_P(Matrix, BesideAnEndpointThatWorks) {
  AddEngine();
  AddEngine();
  Start();
  const HttpResponse response = Chat();
  if (fault().cause.empty()) {
    ExpectSeen(response);
    EXPECT_FALSE(Ended().contains("failed_tries"));
    return;
  }
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(response.body, GoodBody(stream()));
  EXPECT_EQ(response.Header("x-engine"), "");
  const Json line = Ended();
  EXPECT_EQ(line["outcome"], "completed");
  // A connection that is refused is only found out if it is tried first.
  if (fault().cause != "connect" || line.contains("failed_tries")) {
    EXPECT_EQ(line["failed_tries"], Json::array({fault().cause}));
    EXPECT_EQ(t_.Metric("headrace_retries_total{cause=\"" + fault().cause + "\""), 1);
  }
  EXPECT_EQ(t_.Status().learned_lengths, 1) << "by the try that was served";
}

INSTANTIATE_TEST_SUITE_P(Engine, Matrix,
                         testing::Combine(testing::ValuesIn(Faults()), testing::Bool()),
                         [](const auto& test) {
                           return std::get<0>(test.param).name +
                                  (std::get<1>(test.param) ? "Streamed" : "Whole");
                         });

// --- Beyond single faults

class Faults : public testing::Test {
 protected:
  Faults() {
    t_.config.threads = 1;
    t_.config.models[0].policy = "least-request";
    t_.config.health.interval = 3600;
    t_.config.health.timeout = 3600;
  }

  TestGateway t_;
};

TEST_F(Faults, WhateverTheByteAtWhichAnAnswerIsCutTheClientIsTold) {
  std::atomic<std::size_t> cut = 0;
  FaultEngine engine([&](int, const FaultRequest& request) {
    return Good(request.streams()).CutTo(cut).ThenClose();
  });
  t_.AddEndpoint("a10", engine.address());
  t_.Start();
  for (const bool stream : {false, true}) {
    const FaultAnswer good = Good(stream);
    for (cut = 0; cut < good.bytes.size(); ++cut) {
      const HttpResponse response = t_.Chat(ChatBody(5, stream));
      if (cut <= good.body()) {
        EXPECT_EQ(response.status, 502) << cut;
      } else if (stream && cut == good.bytes.size() - 2) {
        continue;  // Only the end of the last line is missing.
      } else if (stream) {
        // Before the first byte of the first chunk, or in the answer.
        EXPECT_THAT(response.status, AnyOf(200, 502)) << cut;
        EXPECT_THAT(response.body, HasSubstr("\"error\"")) << cut;
      } else {
        // Nothing is passed on before it is known not to be an error.
        EXPECT_TRUE(response.status == 502 || !response.complete) << cut;
      }
    }
  }
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
}

TEST_F(Faults, AnAnswerThatEndsCleanlyButTooSoonHasFailed) {
  const std::vector<std::string> events = {
      Token("De"), Token("ep.", "\"stop\""),
      Event(R"({"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":2}})"),
      Event("[DONE]")};
  std::atomic<std::size_t> count = 0;
  FaultEngine engine([&](int, const FaultRequest& request) {
    if (!request.streams()) return net::WholeAnswer(200, kWhole.substr(0, 40));
    return net::StreamAnswer({events.begin(), events.begin() + static_cast<std::ptrdiff_t>(count)});
  });
  t_.AddEndpoint("a10", engine.address());
  t_.Start();
  for (count = 0; count <= events.size(); ++count) {
    const HttpResponse response = t_.Chat(ChatBody(5, true));
    EXPECT_TRUE(response.complete);
    EXPECT_EQ(response.status, count == 0 ? 502 : 200);
    // With the finish reason the answer is whole, with or without usage and the mark.
    EXPECT_EQ(response.body.find("\"error\"") != std::string::npos, count < 2) << count;
  }
  EXPECT_EQ(t_.Chat(ChatBody(5, false)).status, 502);
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
  EXPECT_TRUE(Eventually([&] {
    return t_.Metric("headrace_requests_total{model=\"llama2-7b\",outcome=\"failed\"") == 3;
  }));
  EXPECT_TRUE(Eventually([&] {
    return t_.Metric("headrace_requests_total{model=\"llama2-7b\",outcome=\"completed\"") == 3;
  }));
}

TEST_F(Faults, AnErrorInAnAnswerThatSaysAllIsWell) {
  FaultEngine engine([&](int number, const FaultRequest&) {
    if (number == 0) return net::WholeAnswer(200, kError).InPieces(3);
    return net::StreamAnswer({Token("De"), Event(kError), Event("[DONE]")});
  });
  t_.AddEndpoint("a10", engine.address());
  t_.Start();
  const HttpResponse whole = t_.Chat(ChatBody(5, false));
  EXPECT_EQ(whole.status, 500) << "so that clients notice";
  EXPECT_EQ(whole.body, kError);
  const HttpResponse streamed = t_.Chat(ChatBody(5, true));
  EXPECT_EQ(streamed.status, 200);
  EXPECT_EQ(streamed.body, Token("De") + Event(kError) + Event("[DONE]"));
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
  EXPECT_TRUE(Eventually([&] {
    return t_.Metric("headrace_requests_total{model=\"llama2-7b\",outcome=\"engine_error\"") == 2;
  }));
}

TEST_F(Faults, AnEngineThatRefusesStreamOptionsServesAllTheSame) {
  FaultEngine engine([](int, const FaultRequest& request) {
    return request.body.find("stream_options") == std::string::npos
               ? Good(true)
               : net::WholeAnswer(400, R"({"error":{"message":"Unknown field stream_options"}})");
  });
  t_.AddEndpoint("a10", engine.address());
  t_.Start();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(t_.Chat(ChatBody(5, true)).status, 200);
  EXPECT_EQ(engine.served(), 3) << "the second one was not asked any more";
  EXPECT_EQ(t_.LinesWith("refuses `stream_options`").size(), 1u);
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
  EXPECT_TRUE(Eventually([&] { return t_.Metric("headrace_requests_total") == 2; }));
}

TEST_F(Faults, EnginesAreAskedNotToCompress) {
  FaultEngine engine([&](int, const FaultRequest&) {
    return net::WholeAnswer(200, "\x1f\x8b", {"Content-Encoding: gzip"});
  });
  t_.AddEndpoint("a10", engine.address());
  t_.Start();
  const HttpResponse response = t_.Chat(ChatBody(5, true), {"Accept-Encoding: gzip, br"});
  EXPECT_EQ(response.body, "\x1f\x8b") << "one that does it all the same";
  EXPECT_THAT(engine.requests()[0].head, HasSubstr("accept-encoding: identity\r\n"));
  EXPECT_THAT(engine.requests()[0].head, Not(HasSubstr("gzip")));
}

TEST_F(Faults, WhateverBytesAreWrongTheRequestEnds) {
  Rng rng(7);
  FaultEngine engine([&](int, const FaultRequest& request) {
    FaultAnswer answer = Good(request.streams()).ThenClose();
    for (std::size_t i = rng.Below(4) + 1; i > 0; --i) {
      answer.bytes[rng.Below(answer.bytes.size())] = static_cast<char>(rng.Below(256));
    }
    return answer;
  });
  t_.AddEndpoint("a10", engine.address());
  t_.Start();
  for (int i = 0; i < 300; ++i) t_.Chat(ChatBody(5, i % 2 == 0));
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
  EXPECT_EQ(t_.gateway->pools().list()[0]->retries().taken(), 0);
  EXPECT_TRUE(Eventually([&] { return t_.Metric("headrace_requests_total") == 300; }));
}

TEST_F(Faults, WhenAllAreBusyTheClientSeesTheAnswerOfTheLast) {
  std::atomic<int> busy = 0;
  const auto script = [&](int, const FaultRequest&) {
    return Status(busy++ == 0 ? 429 : 503, {"Retry-After: 3", "X-Busy: " + std::to_string(busy)});
  };
  FaultEngine one(script);
  FaultEngine two(script);
  t_.AddEndpoint("a10", one.address());
  t_.AddEndpoint("a10", two.address());
  t_.Start();
  const HttpResponse response = t_.Chat(ChatBody(5, true));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, kError);
  EXPECT_EQ(response.Header("x-busy"), "2");
  EXPECT_EQ(response.Header("retry-after"), "3");
  EXPECT_EQ(busy, 2);
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
}

TEST_F(Faults, AKeptAnswerIsForWhenTheQueueGivesUp) {
  t_.config.models[0].queue.timeout = 0.2;
  t_.config.models[0].deployments.emplace_back();
  t_.config.models[0].deployments[0].name = "a10";
  t_.config.models[0].deployments[0].max_in_flight = 1;
  t_.config.timeouts.first_byte = t_.config.timeouts.whole = 5;
  std::atomic<int> requests = 0;
  const auto script = [&](int, const FaultRequest&) {
    return requests++ == 0 ? Good(false).CutTo(0).ThenHang() : Status(503, {"X-Engine: 7"});
  };
  FaultEngine one(script);
  FaultEngine two(script);
  t_.AddEndpoint("a10", one.address());
  t_.AddEndpoint("a10", two.address());
  t_.Start();
  net::RawPeer hanging(t_.address());
  hanging.Send(PostText("/v1/chat/completions", ChatBody(5, false)));
  ASSERT_TRUE(Eventually([&] { return requests == 1; }));
  // The other one is busy; then it waits for the first one, in vain.
  const HttpResponse response = t_.Chat(ChatBody(5, false));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, kError);
  EXPECT_EQ(response.Header("x-engine"), "7");
  hanging.Close();
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
}

// Health checks succeed at all four; without ejection the bad one would get most requests.
TEST_F(Faults, AnEngineThatFailsAtOnceGetsOnlyProbes) {
  t_.config.models[0].policy = "least-request";
  t_.config.models[0].ejection = {.failures = 3, .backoff = 3600, .max_backoff = 3600};
  FaultEngine bad(Status(500));
  t_.AddEndpoint("a10", bad.address());
  std::vector<std::unique_ptr<FaultEngine>> engines;
  for (int i = 0; i < 3; ++i) {
    engines.push_back(std::make_unique<FaultEngine>(Good(false)));
    t_.AddEndpoint("a10", engines.back()->address());
  }
  t_.Start();
  // In its rests it gets nothing; when they are over, it fails again.
  const auto ejected = [&] {
    return t_.Metric("headrace_endpoint_ejected") == 1 &&
           t_.Metric("headrace_ejections_total") == 1;
  };
  ASSERT_TRUE(Eventually([&] {
    t_.Chat(ChatBody(5, false));
    return ejected();
  }));
  EXPECT_EQ(t_.Metric("headrace_ejections_total{cause=\"status\""), 1);
  EXPECT_EQ(bad.served(), 3);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(t_.Chat(ChatBody(5, false)).status, 200);
  EXPECT_EQ(bad.served(), 3);
  const auto status = t_.Status().deployments[0].endpoints[0];
  EXPECT_TRUE(status.up);
  EXPECT_EQ(status.ejection.state, "ejected");
  EXPECT_EQ(status.ejection.failures, 3);
  EXPECT_EQ(status.ejection.last_fault, fleet::EngineFault::kStatus);
  EXPECT_GT(status.ejection.returns_in.value(), 3500);
  EXPECT_EQ(t_.LinesWith("is ejected").size(), 1);
  EXPECT_THAT(t_.LinesWith("is ejected")[0], HasSubstr("`status`"));
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
}

TEST_F(Faults, AnEngineThatIsWellAgainIsBackAfterOneProbe) {
  t_.config.models[0].policy = "least-request";
  t_.config.models[0].ejection = {.failures = 1, .backoff = 0.02, .max_backoff = 0.02};
  std::atomic<bool> well = false;
  FaultEngine recovers([&](int, const FaultRequest&) { return well ? Good(false) : Status(500); });
  FaultEngine good(Good(false));
  t_.AddEndpoint("a10", recovers.address());
  t_.AddEndpoint("a10", good.address());
  t_.Start();
  ASSERT_TRUE(Eventually([&] {
    t_.Chat(ChatBody(5, false));
    return t_.Metric("headrace_ejections_total") >= 2;
  }));
  well = true;
  ASSERT_TRUE(Eventually([&] {
    t_.Chat(ChatBody(5, false));
    return t_.Status().deployments[0].endpoints[0].ejection.state == "slow_start";
  }));
  EXPECT_EQ(t_.Metric("headrace_endpoint_ejected"), 0);
  EXPECT_EQ(t_.Chat(ChatBody(5, false)).status, 200);
}

TEST_F(Faults, TheOnlyEngineIsNeverEjected) {
  FaultEngine bad(Status(500));
  t_.AddEndpoint("a10", bad.address());
  t_.Start();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(t_.Chat(ChatBody(5, false)).status, 500);
  EXPECT_EQ(bad.served(), 20);
  EXPECT_EQ(t_.Metric("headrace_ejections_total"), 0);
}

TEST_F(Faults, TheTimeThatARequestMayTakeIsNotHeldAgainstItsEndpoint) {
  t_.config.timeouts.request = 0.2;
  t_.config.timeouts.first_byte = t_.config.timeouts.idle = 5;
  FaultEngine drips([](int, const FaultRequest&) {
    FaultAnswer answer = Good(true);
    answer.bytes.resize(answer.bytes.size() - 5);  // Its end.
    for (int i = 0; i < 2000; ++i) answer.bytes += "d\r\ndata: {}     \r\n";
    return answer.InPieces(16);
  });
  t_.AddEndpoint("a10", drips.address());
  t_.Start();
  const HttpResponse response = t_.Chat(ChatBody(5, true));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr("longer than the gateway allows"));
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
}

TEST_F(Faults, ARequestMovesOnWhenAHangingEngineIsFoundDown) {
  t_.config.health.interval = t_.config.health.timeout = 0.02;
  t_.config.timeouts.first_byte = t_.config.timeouts.whole = 100;
  std::atomic<int> requests = 0;
  const auto script = [&](int, const FaultRequest& request) {
    const FaultAnswer good = Good(request.streams());
    return requests++ == 0 ? good.CutTo(good.body()).ThenHang() : good;
  };
  FaultEngine one(script);
  FaultEngine two(script);
  t_.AddEndpoint("a10", one.address());
  t_.AddEndpoint("a10", two.address());
  t_.Start();
  net::RawPeer client(t_.address());
  client.Send(PostText("/v1/chat/completions", ChatBody(5, true)));
  ASSERT_TRUE(Eventually([&] { return requests == 1; }));
  (one.served() == 1 ? one : two).SetHealth(503);
  const HttpResponse response = ReadResponse(client);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, GoodBody(true));
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
  EXPECT_TRUE(
      Eventually([&] { return t_.Metric("headrace_retries_total{cause=\"timeout\"") == 1; }));
}

TEST_F(Faults, RequestsWaitForAnEngineThatIsStartedForThem) {
  t_.config.models[0].queue.down_timeout = 20;
  t_.config.health.interval = t_.config.health.timeout = 0.02;
  FaultEngine engine(Good(false));
  engine.SetHealth(503);
  t_.AddEndpoint("a10", engine.address());
  t_.Start();
  ASSERT_TRUE(Eventually([&] { return !t_.gateway->pools().AnyUp(); }));
  EXPECT_TRUE(t_.gateway->Ready()) << "else nobody sends the request that starts it";
  net::RawPeer client(t_.address());
  client.Send(PostText("/v1/chat/completions", ChatBody(5, false)));
  ASSERT_TRUE(Eventually([&] { return t_.Status().waiting == 1; }));
  engine.SetHealth(200);
  const HttpResponse response = ReadResponse(client);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, kWhole);
}

}  // namespace
}  // namespace headrace::gateway
