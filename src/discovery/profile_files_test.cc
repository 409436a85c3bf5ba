#include "discovery/profile_files.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

namespace headrace::discovery {
namespace {

using testing::HasSubstr;

class ProfileFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() /
            ("headrace-profile-" + std::to_string(::getpid()) + ".json");
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  static std::string Profile(const std::string& tput) {
    return R"({"gpu": "a10", "cost": 1, "tputs": [[)" + tput +
           R"(]], "indexes": [[8], [16]], "created": 1, "e2e": [[2]], "slos": {"e2e": 5}})";
  }
  // At the next check.
  bool Refresh(ProfileFiles& files) { return files.Refresh(now_ += 2); }

  std::filesystem::path path_;
  Seconds now_ = 100;
};

TEST_F(ProfileFilesTest, FollowsTheFileAndKeepsTheLastGoodProfile) {
  ProfileFiles files({path_});
  const ProfileReading& reading = files.readings()[0];
  EXPECT_TRUE(Refresh(files));
  EXPECT_THAT(reading.error, HasSubstr("no such file"));
  EXPECT_FALSE(Refresh(files)) << "said once";

  Write(Profile("3.0"));
  EXPECT_TRUE(Refresh(files));
  EXPECT_EQ(reading.error, "");
  EXPECT_EQ(reading.profile->tput.at(0, 0), 3);
  EXPECT_FALSE(Refresh(files));

  Write("{\"gpu\": \"a10\", \"cost\"");
  EXPECT_TRUE(Refresh(files));
  EXPECT_THAT(reading.error, HasSubstr(path_.string()));
  EXPECT_EQ(reading.profile->tput.at(0, 0), 3);

  Write(Profile("12.25"));
  EXPECT_TRUE(Refresh(files));
  EXPECT_EQ(reading.error, "");
  EXPECT_EQ(reading.profile->tput.at(0, 0), 12.25);

  std::filesystem::remove(path_);
  EXPECT_TRUE(Refresh(files));
  EXPECT_THAT(reading.error, HasSubstr("no such file"));
  EXPECT_EQ(reading.profile->tput.at(0, 0), 12.25);
}

TEST_F(ProfileFilesTest, ChecksEveryTwoSecondsOnly) {
  ProfileFiles files({path_});
  EXPECT_TRUE(files.Refresh(10));
  Write(Profile("3.0"));
  EXPECT_FALSE(files.Refresh(11.9));
  EXPECT_TRUE(files.Refresh(12));
}

TEST_F(ProfileFilesTest, SaysWhyAFileCannotBeRead) {
  ProfileFiles files({"/proc/self/mem"});  // It may be opened, but holds nothing at its beginning.
  EXPECT_TRUE(Refresh(files));
  EXPECT_THAT(files.readings()[0].error,
              HasSubstr("cannot be read (Input/output error); let the gateway's user"));
  EXPECT_FALSE(Refresh(files)) << "said once";
}

TEST_F(ProfileFilesTest, OneBrokenFileDoesNotHideAnother) {
  Write(Profile("3.0"));
  ProfileFiles files({"/nowhere/b.json", path_});
  EXPECT_TRUE(Refresh(files));
  EXPECT_THAT(files.readings()[0].error, HasSubstr("/nowhere/b.json: no such file"));
  EXPECT_EQ(files.readings()[1].profile->tput.at(0, 0), 3);
}

}  // namespace
}  // namespace headrace::discovery
