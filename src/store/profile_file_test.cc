#include "store/profile_file.h"

#include <gmock/gmock.h>

#include <fstream>

namespace headrace {
namespace {

using testing::HasSubstr;

class ProfileFileTest : public testing::Test {
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

  std::filesystem::path path_;
};

TEST_F(ProfileFileTest, FollowsTheFileAndKeepsTheLastGoodProfile) {
  ProfileFile file(path_);
  EXPECT_TRUE(file.Refresh());
  EXPECT_THAT(file.reading().error, HasSubstr("no such file"));
  EXPECT_FALSE(file.Refresh()) << "said once";

  Write(Profile("3.0"));
  EXPECT_TRUE(file.Refresh());
  EXPECT_EQ(file.reading().error, "");
  EXPECT_EQ(file.reading().profile->tput.at(0, 0), 3);
  EXPECT_FALSE(file.Refresh());

  Write("{\"gpu\": \"a10\", \"cost\"");
  EXPECT_TRUE(file.Refresh());
  EXPECT_THAT(file.reading().error, HasSubstr(path_.string()));
  EXPECT_EQ(file.reading().profile->tput.at(0, 0), 3);

  Write(Profile("12.25"));
  EXPECT_TRUE(file.Refresh());
  EXPECT_EQ(file.reading().error, "");
  EXPECT_EQ(file.reading().profile->tput.at(0, 0), 12.25);

  std::filesystem::remove(path_);
  EXPECT_TRUE(file.Refresh());
  EXPECT_THAT(file.reading().error, HasSubstr("no such file"));
  EXPECT_EQ(file.reading().profile->tput.at(0, 0), 12.25);
}

}  // namespace
}  // namespace headrace
