#include "replica/batch.h"

#include <gmock/gmock.h>

#include "base/random.h"

namespace headrace::replica {
namespace {

using testing::HasSubstr;

std::uint64_t AnyNumber(Rng& rng) { return rng.Below(std::uint64_t{1} << rng.Below(63)); }
Tokens AnyTokens(Rng& rng) { return static_cast<Tokens>(1 + rng.Below(100'000)); }
// As they are written: whole units.
Seconds AnyAge(Rng& rng) { return static_cast<double>(rng.Below(10'000'000)) * 1e-5; }
std::optional<Seconds> AnyLatency(Rng& rng) {
  if (rng.Below(2) == 0) return std::nullopt;
  return static_cast<double>(rng.Below(100'000'000)) * 1e-6;
}

Event AnyEvent(Rng& rng) {
  switch (rng.Below(4)) {
    case 0:
      return FirstToken{AnyNumber(rng), AnyAge(rng)};
    case 1:
      return Progressed{AnyNumber(rng), AnyTokens(rng)};
    case 2:
      return Ended{AnyNumber(rng), AnyTokens(rng), AnyTokens(rng), AnyAge(rng)};
    default: {
      slo::Slo slo;
      slo.ttft = AnyLatency(rng);
      slo.tpot = AnyLatency(rng);
      slo.tpat = AnyLatency(rng);
      slo.ntpot = AnyLatency(rng);
      slo.e2e = AnyLatency(rng);
      return Started{.serial = AnyNumber(rng),
                     .endpoint = AnyNumber(rng),
                     .age = AnyAge(rng),
                     .waited = AnyAge(rng),
                     .prompt_tokens = AnyTokens(rng),
                     .output_tokens = AnyTokens(rng),
                     .most_tokens = AnyTokens(rng),
                     .exact = rng.Below(2) == 0,
                     .reports_first_token = rng.Below(2) == 0,
                     .standing = static_cast<int>(rng.Below(20)) - 10,
                     .share = static_cast<fleet::Load>(rng.Below(fleet::kCapacity)),
                     .slo = slo};
    }
  }
}

Batch AnyBatch(Rng& rng) {
  Batch batch{.from = {.name = "host:8080", .incarnation = AnyNumber(rng)},
              .pool = "llama",
              .sequence = AnyNumber(rng),
              .queue = {.waiting = AnyNumber(rng), .endpoints = rng.Below(1000)},
              .whole = rng.Below(2) == 0,
              .leaves = rng.Below(2) == 0};
  for (auto left = rng.Below(5); left > 0; --left) {
    batch.queue.heads.push_back({.standing = static_cast<int>(rng.Below(20)) - 10,
                                 .kind = static_cast<std::uint32_t>(rng.Below(10'000)),
                                 .age = AnyAge(rng)});
  }
  for (auto left = rng.Below(3); left > 0; --left) {
    batch.keys.push_back({.name = "team",
                          .requests = static_cast<std::int64_t>(rng.Below(1'000'000)),
                          .tokens = static_cast<std::int64_t>(rng.Below(1'000'000'000)),
                          .in_flight = static_cast<std::int64_t>(rng.Below(100))});
  }
  for (auto left = rng.Below(10); left > 0; --left) batch.events.push_back(AnyEvent(rng));
  if (!batch.whole) return batch;
  for (auto left = rng.Below(10); left > 0; --left) batch.state.push_back(AnyEvent(rng));
  return batch;
}

TEST(Batch, ReadsBackWhatWasWritten) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Rng rng(seed);
    const Batch batch = AnyBatch(rng);
    const auto read = Decode(Encode(batch));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, batch) << seed;
  }
}

TEST(Batch, CutAnywhereIsAnErrorOrFewerEvents) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Rng rng(seed);
    const Batch batch = AnyBatch(rng);
    const std::string bytes = Encode(batch);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto read = Decode(std::string_view(bytes).substr(0, size));
      if (read)
        EXPECT_LT(read->events.size() + read->state.size(),
                  batch.events.size() + batch.state.size() + 1);
    }
  }
}

TEST(Batch, SaysWhatIsWrong) {
  EXPECT_THAT(Decode("").error().message, HasSubstr("version"));
  EXPECT_THAT(Decode("\x09junk").error().message, HasSubstr("another version"));
  std::string bytes = Encode({.from = {"a", 1}, .pool = "m", .sequence = 1});
  EXPECT_THAT(Decode(bytes + "\x7f").error().message, HasSubstr("no kind"));
  EXPECT_THAT(Decode(bytes + "\x02").error().message, HasSubstr("cut short"));
}

// A start is what most of the bytes are.
TEST(Batch, IsCompact) {
  Batch batch{.from = {"host-12.internal:8080", 1}, .pool = "m", .sequence = 1};
  const std::size_t empty = Encode(batch).size();
  slo::Slo slo;
  slo.ttft = 1;
  slo.tpot = 0.05;
  batch.events.push_back(Started{.serial = 100'000,
                                 .endpoint = ~0ull,
                                 .age = 0.01,
                                 .prompt_tokens = 1000,
                                 .output_tokens = 300,
                                 .most_tokens = fleet::kNoLimit,
                                 .share = 12'345'678,
                                 .slo = slo});
  EXPECT_LE(Encode(batch).size() - empty, 40);
}

}  // namespace
}  // namespace headrace::replica
