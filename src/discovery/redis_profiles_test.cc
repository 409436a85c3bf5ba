#include "discovery/redis_profiles.h"

#include <gmock/gmock.h>

#include "store/test_redis.h"

namespace headrace::discovery {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Profile(double tput, const std::string& deployment = "a10") {
  return R"({"gpu": ")" + deployment + R"(", "cost": 1, "tputs": [[)" + std::to_string(tput) +
         R"(]], "indexes": [[8], [16]], "created": 1, "e2e": [[2]], "slos": {"e2e": 5}})";
}

// A server, a writer, and a source that follows two deployments of one model.
class RedisProfilesTest : public testing::Test {
 protected:
  void Put(const std::string& deployment, const std::string& text) {
    const auto set = writer_.Set(ProfileKey("m", deployment), text);
    ASSERT_TRUE(set) << set.error().message;
  }
  // At the next time at which it reads.
  bool Refresh(RedisProfiles& source) { return source.Refresh(now_ += 10); }
  RedisProfiles Source() const {
    return {server_.url(), {ProfileKey("m", "a10"), ProfileKey("m", "l20")}, 0.2};
  }
  const ProfileReading& A10(const RedisProfiles& source) { return source.readings()[0]; }

  store::TestRedis server_;
  store::Redis writer_{server_.url()};
  Seconds now_ = 100;
};

TEST(ProfileKeys, TellTheModelOnceTheDeploymentIsKnown) {
  const std::string key = ProfileKey("llama_2", "ns/a_10");
  EXPECT_EQ(key, "aibrix:profile_llama_2_ns/a_10");
  EXPECT_EQ(ModelOfProfileKey(key, "ns/a_10"), "llama_2");
  EXPECT_EQ(ModelOfProfileKey(key, "10"), "llama_2_ns/a");
  EXPECT_FALSE(ModelOfProfileKey(key, "l20"));
  EXPECT_FALSE(ModelOfProfileKey("aibrix:profile__a10", "a10"));
  EXPECT_FALSE(ModelOfProfileKey("other:profile_m_a10", "a10"));
}

TEST_F(RedisProfilesTest, ReadsEveryTenSecondsAndTakesOverWhatChanged) {
  Put("a10", Profile(3));
  Put("l20", Profile(4, "l20"));
  RedisProfiles source = Source();
  EXPECT_TRUE(Refresh(source));
  EXPECT_EQ(source.outage(), "");
  EXPECT_EQ(A10(source).profile->tput.at(0, 0), 3);
  EXPECT_EQ(source.readings()[1].profile->tput.at(0, 0), 4);
  EXPECT_EQ(A10(source).origin, "aibrix:profile_m_a10 in " + server_.url().Name());

  const auto before = A10(source).profile;
  EXPECT_FALSE(Refresh(source));
  EXPECT_EQ(A10(source).profile, before) << "unchanged, so not even parsed";
  Put("a10", Profile(5));
  EXPECT_FALSE(source.Refresh(now_ + 9.9)) << "this server tells of no changes";
  EXPECT_TRUE(Refresh(source));
  EXPECT_EQ(A10(source).profile->tput.at(0, 0), 5);
}

TEST_F(RedisProfilesTest, KeepsTheLastGoodProfileWhateverTheKeyHolds) {
  Put("a10", Profile(3));
  RedisProfiles source = Source();
  Refresh(source);
  const auto expect_kept = [&](const std::string& said) {
    EXPECT_TRUE(Refresh(source));
    EXPECT_THAT(A10(source).error, HasSubstr(said));
    EXPECT_THAT(A10(source).error, HasSubstr("aibrix:profile_m_a10"));
    EXPECT_EQ(A10(source).profile->tput.at(0, 0), 3);
    EXPECT_FALSE(Refresh(source)) << "said once";
  };
  Put("a10", Profile(3).substr(0, 40));
  expect_kept("truncated");
  ASSERT_TRUE(writer_.Delete(ProfileKey("m", "a10")));
  expect_kept("no such key; write it with");
  server_.Cli("RPUSH " + ProfileKey("m", "a10") + " entry");
  expect_kept("WRONGTYPE");
  ASSERT_TRUE(writer_.Delete(ProfileKey("m", "a10")));
  Put("a10", Profile(6));
  EXPECT_TRUE(Refresh(source));
  EXPECT_EQ(A10(source).error, "");
  EXPECT_EQ(A10(source).profile->tput.at(0, 0), 6);
}

TEST_F(RedisProfilesTest, SaysWhichProfilesThereAreInsteadOfTheOneThatIsMissing) {
  Put("A10", Profile(3, "A10"));
  RedisProfiles source = Source();
  EXPECT_TRUE(Refresh(source));
  EXPECT_THAT(A10(source).error, HasSubstr("keys that are there: aibrix:profile_m_A10."));
  Put("H100", Profile(3, "H100"));
  EXPECT_FALSE(Refresh(source)) << "all keys of a database are not gone through every ten seconds";
  now_ += 50;
  EXPECT_TRUE(Refresh(source));
  EXPECT_THAT(A10(source).error, HasSubstr("profile_m_A10, aibrix:profile_m_H100."));
}

// AUTH, SELECT and PSUBSCRIBE still succeed; only the data cannot be read.
TEST_F(RedisProfilesTest, ARedisThatReadsItsDataIsAnOutageAndNoFaultOfTheKeys) {
  Put("a10", Profile(3));
  Put("l20", Profile(3, "l20"));
  RedisProfiles source = Source();
  Refresh(source);
  server_.Cli("SLAVEOF 127.0.0.1 1");  // A primary that is not there: MASTERDOWN.
  server_.Cli("CONFIG SET replica-serve-stale-data no");
  EXPECT_TRUE(Refresh(source));
  EXPECT_THAT(source.outage(), HasSubstr("refuses GET (MASTERDOWN"));
  EXPECT_EQ(A10(source).error, "");
  server_.Cli("SLAVEOF NO ONE");
  EXPECT_TRUE(source.Refresh(now_ + 2)) << "tried again every two seconds";
  EXPECT_EQ(source.outage(), "");
  EXPECT_FALSE(Refresh(source)) << "the connection is in step";
}

TEST_F(RedisProfilesTest, AnOutageIsOneFactAndNoProfileIsLostByIt) {
  Put("a10", Profile(3));
  RedisProfiles source = Source();
  Refresh(source);
  server_.Stop();
  EXPECT_TRUE(Refresh(source));
  EXPECT_THAT(source.outage(), HasSubstr("cannot be reached"));
  EXPECT_EQ(A10(source).error, "");
  EXPECT_EQ(A10(source).profile->tput.at(0, 0), 3);
  EXPECT_FALSE(source.Refresh(now_ + 1.9));

  // It has lost its memory, and comes back with another profile.
  server_.Start();
  Put("a10", Profile(7));
  EXPECT_TRUE(source.Refresh(now_ + 2)) << "tried again every two seconds";
  EXPECT_EQ(source.outage(), "");
  EXPECT_EQ(A10(source).profile->tput.at(0, 0), 7);
}

TEST_F(RedisProfilesTest, AServerThatHangsIsAnOutage) {
  Put("a10", Profile(3));
  RedisProfiles source = Source();
  Refresh(source);
  server_.Freeze();
  EXPECT_TRUE(Refresh(source));
  EXPECT_THAT(source.outage(), HasSubstr("no response in time"));
  server_.Thaw();
  EXPECT_TRUE(Refresh(source));
  EXPECT_EQ(A10(source).profile->tput.at(0, 0), 3);
}

TEST_F(RedisProfilesTest, AKeyThatWasEvictedIsAsGoodAsDeleted) {
  const store::TestRedis small({"--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"});
  store::Redis writer(small.url());
  ASSERT_TRUE(writer.Set(ProfileKey("m", "a10"), Profile(3)));
  RedisProfiles source(small.url(), {ProfileKey("m", "a10")});
  Refresh(source);
  ASSERT_TRUE(A10(source).profile);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(writer.Set("filler" + std::to_string(i), std::string(10'000, 'x')));
  }
  EXPECT_TRUE(Refresh(source));
  EXPECT_THAT(A10(source).error, HasSubstr("no such key"));
  EXPECT_EQ(A10(source).profile->tput.at(0, 0), 3);
}

TEST(RedisProfiles, HearsOfChangesWhereRedisTellsOfThem) {
  const store::TestRedis server({"--notify-keyspace-events", "KA"});
  store::RedisUrl url = server.url();
  url.database = 5;
  store::Redis writer(url);
  RedisProfiles source(url, {ProfileKey("m", "a10")});
  source.Refresh(100);
  EXPECT_THAT(source.readings()[0].error, HasSubstr("no such key"));
  ASSERT_TRUE(writer.Set(ProfileKey("m", "a10"), Profile(3)));
  // The message and the answer to the writer travel apart; asking the server once more waits for
  // it.
  bool changed = false;
  for (int i = 0; i < 1000 && !changed; ++i) {
    changed = source.Refresh(101);
    if (!changed) ASSERT_TRUE(writer.Get(std::vector<std::string>{"x"}));
  }
  EXPECT_TRUE(changed);
  EXPECT_EQ(source.readings()[0].profile->tput.at(0, 0), 3);
}

TEST(RedisProfiles, ServesAUserWhoMayOnlyRead) {
  const store::TestRedis server({"--user", "reader", "on", ">word", "~aibrix:*", "resetchannels",
                                 "+get", "+select", "+scan"});
  ASSERT_TRUE(store::Redis(server.url()).Set(ProfileKey("m", "a10"), Profile(3)));
  store::RedisUrl url = server.url();
  url.user = "reader";
  url.password = "word";
  RedisProfiles source(url, {ProfileKey("m", "a10")});
  source.Refresh(100);
  EXPECT_EQ(source.outage(), "");
  ASSERT_TRUE(source.readings()[0].profile);
  url.password = "other";
  RedisProfiles refused(url, {ProfileKey("m", "a10")});
  refused.Refresh(100);
  EXPECT_THAT(refused.outage(), HasSubstr("correct the URL's user and password"));
  EXPECT_THAT(refused.outage(), Not(HasSubstr("other")));
}

TEST(RedisProfiles, ReadsAThousandProfilesAndAHugeOne) {
  const store::TestRedis server;
  store::Redis writer(server.url());
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; ++i) {
    keys.push_back(ProfileKey("m" + std::to_string(i), "a10"));
    ASSERT_TRUE(writer.Set(keys.back(), Profile(i + 1)));
  }
  // JSON may be padded: five megabytes of it.
  ASSERT_TRUE(writer.Set(keys[500], Profile(501) + std::string(5 << 20, ' ')));
  RedisProfiles source(server.url(), keys);
  source.Refresh(100);
  EXPECT_THAT(source.outage(), IsEmpty());
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(source.readings()[static_cast<std::size_t>(i)].profile) << i;
    EXPECT_EQ(source.readings()[static_cast<std::size_t>(i)].profile->tput.at(0, 0), i + 1);
  }
}

}  // namespace
}  // namespace headrace::discovery
