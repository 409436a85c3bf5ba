#include "system/line_writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "system/temporary_folder.h"

namespace headrace::system {
namespace {

std::string Contents(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(LineWriter, WritesAllThatWaitsWhenItEnds) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "log";
  std::string expected;
  for (int round = 0; round < 2; ++round) {
    auto writer = LineWriter::Open(path.string());
    ASSERT_TRUE(writer);
    for (int i = 0; i < 5000; ++i) {
      (*writer)->Write("line " + std::to_string(i));
      expected += "line " + std::to_string(i) + "\n";
    }
    writer->reset();
    EXPECT_EQ(Contents(path), expected) << "it appends";
  }
}

TEST(LineWriter, AFileThatCannotBeOpenedIsNamed) {
  const auto writer = LineWriter::Open("/no/such/folder/log");
  ASSERT_FALSE(writer);
  EXPECT_NE(writer.error().message.find("/no/such/folder/log"), std::string::npos);
}

TEST(LineWriter, AFifoThatNobodyHasOpenedIsAnError) {
  const TemporaryFolder folder;
  const std::string path = folder.path() / "fifo";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(LineWriter::Open(path));
}

// A pipe that nobody reads: its writers go on, and so does the end.
TEST(LineWriter, NobodyWaitsForASlowReader) {
  const TemporaryFolder folder;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  auto writer = LineWriter::Open("/dev/fd/" + std::to_string(ends[1]));
  ASSERT_TRUE(writer);
  const std::string line(1000, 'x');
  constexpr int kLines = 10'000;
  for (int i = 0; i < kLines; ++i) (*writer)->Write(line);
  const std::uint64_t dropped = (*writer)->dropped();
  EXPECT_GT(dropped, 0u);
  EXPECT_LT(dropped, std::uint64_t{kLines});
  writer->reset();
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace headrace::system
