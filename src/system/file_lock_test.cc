#include "system/file_lock.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "system/temporary_folder.h"

namespace headrace::system {
namespace {

using testing::HasSubstr;

TEST(FileLock, OneAtATimeChangesAFile) {
  const TemporaryFolder folder;
  const auto take = [&folder](const std::string& name) {
    return FileLock::Take((folder.path() / name).string(), 0);
  };
  {
    const auto first = take("a");
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_THAT(take("a").error().message, HasSubstr("another command has been changing it"));
    std::filesystem::create_symlink(folder.path() / "a", folder.path() / "link");
    EXPECT_FALSE(take("link")) << "the same file";
  }
  EXPECT_TRUE(take("a"));
  EXPECT_THAT(take("none/a").error().message, HasSubstr("its folder cannot be opened"));
}

}  // namespace
}  // namespace headrace::system
