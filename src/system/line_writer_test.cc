#include "system/line_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "system/temporary_folder.h"

namespace headrace::system {
namespace {

std::string Contents(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// For what the writer's thread does.
void WaitFor(const std::function<bool()>& holds) {
  while (!holds()) std::this_thread::yield();
}

// To a new file, which has "before" by then.
std::unique_ptr<LineWriter> WithALine(const std::filesystem::path& path) {
  auto writer = LineWriter::Open(path.string()).value();
  writer->Write("before");
  WaitFor([&] { return Contents(path) == "before\n"; });
  return writer;
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

// As logrotate does it: `create` moves the file away, then sends a signal.
TEST(LineWriter, AFileThatWasMovedAwayIsOpenedAnewWhenAsked) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "log";
  auto writer = WithALine(path);
  std::filesystem::rename(path, folder.path() / "log.1");
  writer->Reopen();
  WaitFor([&] { return std::filesystem::exists(path); });  // Though there is no line.
  writer->Write("after");
  writer.reset();
  EXPECT_EQ(Contents(folder.path() / "log.1"), "before\n");
  EXPECT_EQ(Contents(path), "after\n");
}

// `copytruncate` copies the file, then empties it.
TEST(LineWriter, AFileThatWasEmptiedGoesOnAtItsBeginning) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "log";
  auto writer = WithALine(path);
  std::filesystem::resize_file(path, 0);
  writer->Write("after");
  writer.reset();
  EXPECT_EQ(Contents(path), "after\n") << "no hole of zeroes";
}

TEST(LineWriter, AFullDiskIsSaidAndCounted) {
  std::mutex mutex;
  std::vector<std::string> said;
  auto writer = LineWriter::Open("/dev/full", [&](const std::string& fault) {
    const std::lock_guard lock(mutex);
    said.push_back(fault);
  });
  ASSERT_TRUE(writer);
  (*writer)->Write("one");
  WaitFor([&] { return (*writer)->dropped() == 1; });
  (*writer)->Write("two");
  WaitFor([&] { return (*writer)->dropped() == 2; });
  writer->reset();
  ASSERT_FALSE(said.empty());
  EXPECT_EQ(said[0], "cannot be written: No space left on device");
}

// A disk that is full in the middle of a line: one line is not whole, and no other.
TEST(LineWriter, ALineThatWasCutSpoilsNoOther) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "log";
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto most = [&](rlim_t bytes) {
    const rlimit limit{.rlim_cur = bytes, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  };
  auto writer = LineWriter::Open(path.string());
  ASSERT_TRUE(writer);
  most(10);
  (*writer)->Write("0123456789abc");
  WaitFor([&] { return (*writer)->dropped() == 1; });
  most(before.rlim_cur);
  (*writer)->Write("whole");
  writer->reset();
  EXPECT_EQ(Contents(path), "0123456789\nwhole\n");
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
