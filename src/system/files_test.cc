#include "system/files.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "system/temporary_folder.h"

namespace headrace::system {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(ReadSmallFile, EndsWhateverThePathNames) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "file").string();
  ASSERT_TRUE(WriteFile(file, "text"));
  EXPECT_EQ(*ReadSmallFile(file, 4), "text");
  EXPECT_THAT(ReadSmallFile(file, 3).error().message, HasSubstr("has more than 3 bytes"));
  EXPECT_THAT(ReadSmallFile("/dev/zero", 1 << 20).error().message,
              HasSubstr("/dev/zero: has more than 1048576 bytes; name a smaller file"));
  EXPECT_EQ(*ReadSmallFile("/dev/null", 4), "");
  EXPECT_THAT(ReadSmallFile(folder.path().string(), 4).error().message,
              HasSubstr("is a folder; name a file in it"));
  EXPECT_THAT(ReadSmallFile("/no/such/file", 4).error().message, HasSubstr("No such file"));
}

TEST(ReadSmallFile, WaitsForAPipeButNotForEver) {
  const TemporaryFolder folder;
  const std::string pipe = (folder.path() / "pipe").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(ReadSmallFile(pipe, 9, 0).error().message, HasSubstr("did not end within 0 s"));
  std::jthread writer([&pipe] { std::ofstream(pipe) << "text"; });
  EXPECT_EQ(*ReadSmallFile(pipe, 9, 60), "text");
}

class OutputFileTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::size_t Count() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()));
  }

  TemporaryFolder folder_;
};

TEST_F(OutputFileTest, ReplacesItsTargetOnlyWhenItIsComplete) {
  ASSERT_TRUE(WriteFile(Path("a"), "old"));
  {
    auto file = OutputFile::Open(Path("a"));
    ASSERT_TRUE(file) << file.error().message;
    file->Write("half");
  }
  EXPECT_EQ(*ReadFile(Path("a")), "old");
  EXPECT_EQ(Count(), 1) << "the temporary file is removed";
  ASSERT_TRUE(WriteFile(Path("a"), "new"));
  EXPECT_EQ(*ReadFile(Path("a")), "new");
  EXPECT_EQ(Count(), 1);
}

TEST_F(OutputFileTest, WhatFewMayReadFewMayReadAfterwards) {
  ASSERT_TRUE(WriteFile(Path("a"), "old"));
  fs::permissions(Path("a"), fs::perms::owner_read | fs::perms::owner_write);
  ASSERT_TRUE(WriteFile(Path("a"), "new"));
  EXPECT_EQ(fs::status(Path("a")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(OutputFileTest, WritesThroughDevicesAndLinks) {
  ASSERT_TRUE(WriteFile("/dev/null", "text"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  ASSERT_TRUE(WriteFile(Path("real"), "old"));
  fs::create_symlink(Path("real"), Path("link"));
  ASSERT_TRUE(WriteFile(Path("link"), "new"));
  EXPECT_TRUE(fs::is_symlink(Path("link")));
  EXPECT_EQ(*ReadFile(Path("real")), "new");
}

// The temporary file's name can be guessed, where others may write to the folder.
TEST_F(OutputFileTest, ALinkThatSomebodyHasPlantedIsNotWrittenThrough) {
  ASSERT_TRUE(WriteFile(Path("theirs"), "theirs"));
  fs::create_symlink(Path("theirs"), Path("a.tmp" + std::to_string(getpid())));
  ASSERT_TRUE(WriteFile(Path("a"), "ours"));
  EXPECT_EQ(*ReadFile(Path("a")), "ours");
  EXPECT_EQ(*ReadFile(Path("theirs")), "theirs");
  EXPECT_FALSE(fs::is_symlink(Path("a")));
}

TEST_F(OutputFileTest, SaysWhyItCannotBeWritten) {
  EXPECT_THAT(WriteFile("/dev/full", "text").error().message,
              HasSubstr("/dev/full: cannot be written (No space left on device)"));
  auto file = OutputFile::Open(Path("a"));
  ASSERT_TRUE(file) << file.error().message;
  fs::create_directory(Path("a"));  // Meanwhile.
  EXPECT_THAT(file->Finish().error().message, HasSubstr("a: cannot be written (Is a directory)"));
  EXPECT_EQ(Count(), 1) << "the temporary file is removed";
  EXPECT_THAT(WriteFile(Path("none/a"), "text").error().message,
              HasSubstr("none/a: there is no folder " + Path("none") + "; make it, or name"));
  EXPECT_THAT(WriteFile(folder_.path().string(), "text").error().message,
              HasSubstr("is a folder; name a file in it"));
}

TEST_F(OutputFileTest, APlaceIsTriedBeforeTheRun) {
  EXPECT_TRUE(CheckWritable(""));
  EXPECT_TRUE(CheckWritable("-"));
  EXPECT_TRUE(CheckWritable("/dev/full")) << "it can be opened";
  EXPECT_TRUE(CheckWritable(Path("a")));
  EXPECT_EQ(Count(), 0) << "nothing is left behind";
  ASSERT_TRUE(WriteFile(Path("a"), "old"));
  EXPECT_TRUE(CheckWritable(Path("a")));
  EXPECT_EQ(*ReadFile(Path("a")), "old");
  EXPECT_THAT(CheckWritable(Path("none/a")).error().message, HasSubstr("there is no folder"));
  EXPECT_THAT(CheckWritable(folder_.path().string()).error().message, HasSubstr("is a folder"));
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_TRUE(CheckWritable(Path("pipe"))) << "without waiting for its reader";
}

TEST_F(OutputFileTest, RowsAreThereWhileMoreAreComing) {
  {
    auto rows = OutputFile::OpenInPlace(Path("rows"));
    ASSERT_TRUE(rows) << rows.error().message;
    rows->Write("1\n");
    ASSERT_TRUE(rows->Flush());
    EXPECT_EQ(*ReadFile(Path("rows")), "1\n");
    rows->Write("2\n");
  }
  EXPECT_EQ(*ReadFile(Path("rows")), "1\n2\n") << "they stay without Finish";
  auto full = OutputFile::OpenInPlace("/dev/full");
  ASSERT_TRUE(full);
  full->Write("1\n");
  EXPECT_THAT(full->Flush().error().message, HasSubstr("/dev/full: cannot be written (No space"));
}

TEST_F(OutputFileTest, ListsAndMakesDirectories) {
  const std::string folder = Path("new/folder");
  ASSERT_TRUE(PrepareDirectory(folder));
  for (const char* name : {"b.json", "a.json", "c.txt"}) {
    ASSERT_TRUE(WriteFile(folder + "/" + name, "text"));
  }
  EXPECT_THAT(*ListFiles(folder, ".json"),
              testing::ElementsAre(folder + "/a.json", folder + "/b.json"));
  EXPECT_THAT(ListFiles(Path("none"), ".json").error().message,
              HasSubstr("none: cannot be listed (No such file"));
  EXPECT_THAT(PrepareDirectory(folder + "/c.txt").error().message,
              HasSubstr("c.txt: is not a directory that can be written to"));
}

}  // namespace
}  // namespace headrace::system
