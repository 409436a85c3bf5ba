#include "measure/benchmark_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace headrace::measure {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class BenchmarkFileTest : public ::testing::Test {
 protected:
  BenchmarkFileTest()
      : path_((fs::path(::testing::TempDir()) /
               (std::string("headrace_benchmark_") +
                ::testing::UnitTest::GetInstance()->current_test_info()->name()))
                  .string()) {
    fs::remove(path_);
  }
  ~BenchmarkFileTest() override { fs::remove(path_); }

  std::string Text() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static inline const BenchmarkSubject kSubject{
      .model = "m", .deployment = "a10", .slo = "e2e 5 s (P99)"};
  static benchmark::GridPoint Point(double rate, Tokens input = 16) {
    return {.input = input, .output = 4, .rate = rate};
  }
  static benchmark::Measurement Measured(double rate, bool sustained = true, Tokens input = 16) {
    return {.point = Point(rate, input),
            .tput = rate,
            .tt = 4 * rate,
            .e2e = {1, 1, 2, 2.5, 3},
            .ttft = {0.5, 0.5, 1, 1.2, 1.5},
            .tpot = {0.1, 0.1, 0.2, 0.25, 0.3},
            .samples = 60,
            .sustained = sustained};
  }

  std::string path_;
};

TEST_F(BenchmarkFileTest, AddedMeasurementsSurviveAnInterruption) {
  {
    auto file = BenchmarkFile::Open(path_, kSubject);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_TRUE(file->Add(Measured(2), 7));
    benchmark::Measurement unsustained = Measured(4, false);
    unsustained.tput = 3.5;
    EXPECT_TRUE(file->Add(unsustained, 7));
    // On disk before the end.
    EXPECT_EQ(benchmark::ParseBenchmark(Text(), "f")->rows.size(), 9U);
  }
  auto again = BenchmarkFile::Open(path_, kSubject);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->measurements(), 2U);
  EXPECT_FALSE(again->Find(Point(3)));
  EXPECT_TRUE(again->Find(Point(2))->sustained);
  EXPECT_EQ(again->Find(Point(2))->e2e.p99, 3);
  EXPECT_FALSE(again->Find(Point(4))->sustained);
  EXPECT_EQ(again->Find(Point(4))->tput, 3.5);
}

TEST_F(BenchmarkFileTest, AMeasurementThatWasCutOffIsRepeated) {
  {
    auto file = BenchmarkFile::Open(path_, kSubject);
    EXPECT_TRUE(file->Add(Measured(2), 7));
    EXPECT_TRUE(file->Add(Measured(4), 7));
  }
  const std::string whole = Text();
  for (std::size_t cut = 1; cut < whole.size(); cut += 13) {
    std::ofstream(path_, std::ios::binary) << whole.substr(0, whole.size() - cut);
    auto file = BenchmarkFile::Open(path_, kSubject);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_LT(file->measurements(), 2U);
    for (const double rate : {2, 4}) {
      if (!file->Find(Point(rate))) EXPECT_TRUE(file->Add(Measured(rate), 7));
    }
    EXPECT_TRUE(file->Finish());
    EXPECT_EQ(benchmark::ParseBenchmark(Text(), "f")->rows.size(), 10U);
    EXPECT_EQ(benchmark::ParseBenchmark(Text(), "f")->repeated_rows, 0U);
  }
}

TEST_F(BenchmarkFileTest, InTheEndTheLowestRateOfACellComesFirst) {
  auto file = BenchmarkFile::Open(path_, kSubject);
  EXPECT_TRUE(file->Add(Measured(4, true, 64), 7));
  EXPECT_TRUE(file->Add(Measured(8), 7));
  EXPECT_TRUE(file->Add(Measured(2), 7));
  EXPECT_TRUE(file->Finish());
  const auto rows = benchmark::ParseBenchmark(Text(), "f")->rows;
  EXPECT_EQ(rows.front().request_rate, 2);
  EXPECT_EQ(rows.front().metric, benchmark::Metric::kTput);
  EXPECT_EQ(rows.back().input_tokens, 64);
}

TEST_F(BenchmarkFileTest, RefusesOtherFiles) {
  std::ofstream(path_) << "hello\n";
  EXPECT_THAT(BenchmarkFile::Open(path_, kSubject).error().message, HasSubstr("line 1"));
  EXPECT_EQ(Text(), "hello\n");
  fs::remove(path_);
  EXPECT_TRUE(BenchmarkFile::Open(path_, kSubject)->Add(Measured(2), 7));
  const auto fault_of = [&](BenchmarkSubject subject) {
    return BenchmarkFile::Open(path_, subject).error().message;
  };
  EXPECT_THAT(fault_of({.model = "other", .deployment = "a10", .slo = "e2e 5 s (P99)"}),
              HasSubstr("holds measurements of the model m, and these are of other; name another"));
  EXPECT_THAT(fault_of({.model = "m", .deployment = "l20", .slo = "e2e 5 s (P99)"}),
              HasSubstr("of the deployment a10, and these are of l20"));
  EXPECT_THAT(fault_of({.model = "m", .deployment = "a10", .slo = "e2e 5 s (mean)"}),
              HasSubstr("of the SLO e2e 5 s (P99), and these are of e2e 5 s (mean)"));
  std::ofstream(path_) << R"({"input_tokens": 1, "output_tokens": 1, "request_rate": 1, )"
                       << R"("model": "m", "metric": "TPUT", "mean": 1})" << "\n";
  EXPECT_THAT(fault_of(kSubject), HasSubstr("that do not name the deployment"));
  EXPECT_THAT(BenchmarkFile::Open("/nowhere/f", kSubject).error().message,
              HasSubstr("/nowhere/f: cannot be written"));
  // A file takes the place of what is at the path: a device must not go that way.
  fs::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(fault_of(kSubject),
              HasSubstr(": is no file, and the measurements grow in one; name one with -o"));
  EXPECT_TRUE(fs::is_fifo(path_));
  EXPECT_THAT(BenchmarkFile::Open("-", kSubject).error().message, HasSubstr("standard output: is"));
}

}  // namespace
}  // namespace headrace::measure
