#include "access/key_ring.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/random.h"

namespace headrace::access {
namespace {

KeyFile FileOf(std::vector<ApiKey> keys) {
  KeyFile file{.salt = "pepper", .keys = std::move(keys)};
  // Each key's text is its name with "secret-" before it.
  for (ApiKey& key : file.keys) key.hash = HashOfKey(file.salt, "secret-" + key.name);
  return file;
}

TEST(ApiKey, HasLettersThatNobodyConfuses) {
  std::array<std::uint8_t, 25> random{};
  EXPECT_EQ(MakeApiKey(random), "hr_" + std::string(40, 'a'));
  random.fill(0xff);
  EXPECT_EQ(MakeApiKey(random), "hr_" + std::string(40, '7'));
  random[24] = 0xe0;
  EXPECT_EQ(MakeApiKey(random), "hr_" + std::string(39, '7') + "a");
}

TEST(ApiKey, HashIsSha256OfSaltAndKey) {
  // NIST's example: SHA-256("abc").
  const std::string hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(ToHex(HashOfKey("a", "bc")), hex);
  const auto bytes = FromHex(hex, 32);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(ToHex(*bytes), hex);
  EXPECT_FALSE(FromHex(hex, 31));
  EXPECT_FALSE(FromHex("zz", 1));
}

TEST(KeyRing, FindsAKeyByItsTextAlone) {
  KeyRing ring;
  ring.Set(FileOf({{.name = "one"}, {.name = "two", .models = {"llama"}}}), 0);
  ASSERT_NE(ring.Find("secret-two"), nullptr);
  EXPECT_EQ(ring.Find("secret-two")->name, "two");
  EXPECT_TRUE(ring.Find("secret-one")->MayUse("any"));
  EXPECT_FALSE(ring.Find("secret-two")->MayUse("any"));
  EXPECT_EQ(ring.Find("two"), nullptr);
  EXPECT_EQ(ring.Find(""), nullptr);
  EXPECT_EQ(ring.Find("secret-two "), nullptr);
}

TEST(KeyRing, RequestsComeAtTheRateOfTheirKey) {
  KeyRing ring;
  ring.Set(FileOf({{.name = "k", .requests_per_minute = 3}}), 0);
  const auto key = ring.Find("secret-k");
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(ring.Begin(*key, 10, 0));
  const auto refused = ring.Begin(*key, 10, 5);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->what, Exceeded::kRequests);
  EXPECT_DOUBLE_EQ(refused->retry_after, 15);
  EXPECT_EQ(ring.Use(*key, 5).requests->remaining, 0.25);
  EXPECT_EQ(ring.Use(*key, 5).requests->full_after, 55);
  // A refused request costs nothing.
  EXPECT_FALSE(ring.Begin(*key, 10, 20.001));
}

TEST(KeyRing, TokensAreThoseThatCame) {
  KeyRing ring;
  ring.Set(FileOf({{.name = "k", .tokens_per_minute = 600}}), 0);
  const auto key = ring.Find("secret-k");
  EXPECT_FALSE(ring.Begin(*key, 100, 0));
  EXPECT_EQ(ring.Use(*key, 0).tokens->remaining, 500);
  // Its response was longer than there was room for: a debt of 500.
  ring.End(*key, 100, 1100, 0);
  EXPECT_EQ(ring.Use(*key, 0).tokens->remaining, 0);
  const auto refused = ring.Begin(*key, 100, 0);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->what, Exceeded::kTokens);
  EXPECT_DOUBLE_EQ(refused->retry_after, 60);
  EXPECT_FALSE(ring.Begin(*key, 100, 60.001));
}

TEST(KeyRing, APromptAboveTheLimitWaitsForAllOfIt) {
  KeyRing ring;
  ring.Set(FileOf({{.name = "k", .tokens_per_minute = 600}}), 0);
  const auto key = ring.Find("secret-k");
  EXPECT_FALSE(ring.Begin(*key, 5000, 0));
  ring.End(*key, 5000, 5000, 0);
  EXPECT_DOUBLE_EQ(ring.Begin(*key, 5000, 0)->retry_after, 500);
}

TEST(KeyRing, OnlySoManyAtATime) {
  KeyRing ring;
  ring.Set(FileOf({{.name = "k", .max_in_flight = 2}}), 0);
  const auto key = ring.Find("secret-k");
  EXPECT_FALSE(ring.Begin(*key, 1, 0));
  EXPECT_FALSE(ring.Begin(*key, 1, 0));
  EXPECT_EQ(ring.Begin(*key, 1, 0)->what, Exceeded::kInFlight);
  ring.End(*key, 1, 1, 0);
  EXPECT_FALSE(ring.Begin(*key, 1, 0));
}

TEST(KeyRing, ANewFileKeepsWhatWasUsed) {
  KeyRing ring;
  ring.Set(FileOf({{.name = "k", .requests_per_minute = 10}, {.name = "old"}}), 0);
  const auto key = ring.Find("secret-k");
  const auto old = ring.Find("secret-old");
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(ring.Begin(*key, 1, 0));
  EXPECT_FALSE(ring.Begin(*old, 1, 0));
  ring.Set(FileOf({{.name = "k", .requests_per_minute = 100}}), 0);
  EXPECT_EQ(ring.Find("secret-old"), nullptr);
  ring.End(*old, 1, 1, 0);  // What runs ends, whatever became of its key.
  const auto again = ring.Find("secret-k");
  EXPECT_TRUE(ring.Begin(*again, 1, 0));
  EXPECT_FALSE(ring.Begin(*again, 1, 0.7));
}

// Over any span, no more goes on than a full bucket and what has come since.
TEST(KeyRing, AKeyThatGoesAndComesBackHasWhatStillRuns) {
  KeyRing ring;
  const KeyFile with = FileOf({{.name = "k", .max_in_flight = 2}});
  ring.Set(with, 0);
  const auto key = ring.Find("secret-k");
  EXPECT_FALSE(ring.Begin(*key, 1, 0));
  ring.Set(FileOf({}), 1);
  // One that was let in just before goes on, and counts.
  EXPECT_FALSE(ring.Begin(*key, 1, 1));
  ring.Set(with, 2);
  ASSERT_TRUE(ring.Begin(*key, 1, 2));
  EXPECT_EQ(ring.Begin(*key, 1, 2)->what, Exceeded::kInFlight);
  ring.End(*key, 1, 1, 3);
  EXPECT_FALSE(ring.Begin(*key, 1, 3));
  EXPECT_TRUE(ring.Begin(*key, 1, 3));
}

TEST(KeyRing, NeverMoreThanTheLimit) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Rng rng(seed);
    const double requests = 1 + static_cast<double>(rng.Below(200));
    const double tokens = 100 + static_cast<double>(rng.Below(100'000));
    const int most = 1 + static_cast<int>(rng.Below(20));
    KeyRing ring;
    ring.Set(FileOf({{.name = "k",
                      .requests_per_minute = requests,
                      .tokens_per_minute = tokens,
                      .max_in_flight = most}}),
             0);
    const auto key = ring.Find("secret-k");
    Seconds now = 0;
    double went_on = 0;
    double used = 0;
    std::deque<std::pair<Tokens, std::int64_t>> running;
    for (int i = 0; i < 300; ++i) {
      now += rng.Exponential(0.5);
      const auto prompt = static_cast<Tokens>(1 + rng.Below(2000));
      if (const auto refused = ring.Begin(*key, prompt, now)) {
        EXPECT_GT(refused->retry_after, 0);
        // What it is told is true of the limit that refused it.
        if (refused->what != Exceeded::kInFlight) {
          KeyRing copy = ring;
          const auto later = copy.Begin(*key, prompt, now + refused->retry_after + 1e-6);
          EXPECT_TRUE(!later || later->what != refused->what);
        }
      } else {
        ++went_on;
        running.emplace_back(prompt, prompt + static_cast<std::int64_t>(rng.Below(500)));
        used += prompt;
      }
      EXPECT_LE(static_cast<int>(running.size()), most);
      if (!running.empty() && rng.Below(2) == 0) {
        const auto [estimated, real] = running.front();
        running.pop_front();
        ring.End(*key, estimated, real, now);
        used += static_cast<double>(real - estimated);
      }
      EXPECT_LE(went_on, requests * (1 + now / 60) + 1e-6);
      // One request may be the debt: a full bucket of prompt, and its response.
      EXPECT_LE(used, tokens * (1 + now / 60) + 2000 + 500 * most + 1e-6);
    }
  }
}

// Two processes tell each other; together they let through what the key may.
struct SharedLimits : testing::Test {
  SharedLimits() {
    const KeyFile file = FileOf({{.name = "k", .requests_per_minute = 6, .tokens_per_minute = 1000},
                                 {.name = "few", .max_in_flight = 4}});
    for (KeyRing* ring : {&a, &b}) ring->Set(file, 0);
    Tell(0, /*all=*/true);
  }
  void Tell(Seconds now, bool all = false) {
    const auto of_a = a.TakeSpending(all);
    const auto of_b = b.TakeSpending(all);
    a.Hear("b", of_b, all, now);
    b.Hear("a", of_a, all, now);
  }
  static bool Begins(KeyRing& ring, const std::string& name, Seconds now, Tokens prompt = 10) {
    return !ring.Begin(*ring.Find("secret-" + name), prompt, now);
  }

  KeyRing a;
  KeyRing b;
};

TEST_F(SharedLimits, RequestsAndTokensAreThoseOfBoth) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Begins(a, "k", 0));
    EXPECT_TRUE(Begins(b, "k", 0));
    Tell(0);
  }
  EXPECT_EQ(a.Use(*a.Find("secret-k"), 0).requests->remaining, 2);
  EXPECT_EQ(a.Use(*a.Find("secret-k"), 0).tokens->remaining, 1000 - 4 * 10);
  // It came to more tokens than its prompt.
  a.End(*a.Find("secret-k"), 10, 980, 0);
  Tell(0);
  EXPECT_FALSE(Begins(b, "k", 0)) << "no tokens are left";
  EXPECT_TRUE(Begins(b, "k", 20)) << "they come again";
}

TEST_F(SharedLimits, ALostMessageIsMadeGoodByTheNextOne) {
  Begins(a, "k", 0);
  (void)a.TakeSpending(false);  // Lost.
  Tell(0);
  EXPECT_EQ(b.Use(*b.Find("secret-k"), 0).requests->remaining, 6);
  Tell(0, /*all=*/true);
  EXPECT_EQ(b.Use(*b.Find("secret-k"), 0).requests->remaining, 5);
}

TEST_F(SharedLimits, WhatWasBeforeOneIsHeardCountsForNothing) {
  for (int i = 0; i < 3; ++i) Begins(a, "k", 0);
  KeyRing late;
  late.Set(FileOf({{.name = "k", .requests_per_minute = 6}}), 0);
  late.Hear("a", a.TakeSpending(false), false, 0);
  late.Hear("a", a.TakeSpending(true), true, 0);
  EXPECT_EQ(late.Use(*late.Find("secret-k"), 0).requests->remaining, 6);
  Begins(a, "k", 0);
  late.Hear("a", a.TakeSpending(false), false, 0);
  EXPECT_EQ(late.Use(*late.Find("secret-k"), 0).requests->remaining, 5);
}

TEST_F(SharedLimits, InFlightIsThatOfBothUntilOneIsGone) {
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(Begins(a, "few", 0));
  Tell(0);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(Begins(b, "few", 0));
  EXPECT_FALSE(Begins(b, "few", 0));
  a.End(*a.Find("secret-few"), 10, 10, 0);
  Tell(1);
  EXPECT_TRUE(Begins(b, "few", 1));
  EXPECT_FALSE(Begins(b, "few", 1));
  b.ForgetSilent(3, 4);
  EXPECT_TRUE(Begins(b, "few", 4)) << "a is gone";
}

TEST_F(SharedLimits, EachHasItsPartWhileTheyDoNotHearEachOther) {
  for (KeyRing* ring : {&a, &b}) ring->SetParts(2, 0);
  for (KeyRing* ring : {&a, &b}) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(Begins(*ring, "k", 0));
    EXPECT_FALSE(Begins(*ring, "k", 0));
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(Begins(*ring, "few", 0));
    EXPECT_FALSE(Begins(*ring, "few", 0));
  }
  a.SetParts(1, 0);
  EXPECT_FALSE(Begins(a, "k", 0)) << "that was all";
  EXPECT_TRUE(Begins(a, "k", 10)) << "at the whole rate again";
}

}  // namespace
}  // namespace headrace::access
