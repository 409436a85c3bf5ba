#include "measure/benchmark_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <tuple>

namespace headrace::measure {
namespace {

std::string LastSystemError() { return std::error_code(errno, std::generic_category()).message(); }

Error CannotWrite(const std::string& path) {
  return {path + ": cannot be written (" + LastSystemError() + ")."};
}

}  // namespace

Result<BenchmarkFile> BenchmarkFile::Open(const std::string& path,
                                          const BenchmarkSubject& subject) {
  std::error_code error;
  if (path == "-" ||
      (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error))) {
    return Fail((path == "-" ? "standard output" : path) +
                ": is no file, and the measurements grow in one; name one with -o.");
  }
  BenchmarkFile file(path, subject);
  if (std::ifstream existing(path, std::ios::binary); existing) {
    const std::string text(std::istreambuf_iterator<char>(existing), {});
    HEADRACE_TRY(file.Load(text));
  }
  HEADRACE_TRY(file.Rewrite());
  return file;
}

Result<void> BenchmarkFile::Load(const std::string& text) {
  // A last line without its end was cut off.
  const std::string whole = text.substr(0, text.rfind('\n') + 1);
  if (whole.empty()) return {};
  HEADRACE_ASSIGN(const benchmark::Benchmark benchmark, benchmark::ParseBenchmark(whole, path_));
  std::map<benchmark::GridPoint, std::vector<benchmark::BenchmarkRow>> points;
  for (const benchmark::BenchmarkRow& row : benchmark.rows) {
    for (const auto& [what, found, wanted] :
         {std::tuple{"the model", row.model, subject_.model},
          {"the deployment", row.deployment, subject_.deployment},
          {"the SLO", row.slo, subject_.slo}}) {
      if (found == wanted) continue;
      return Fail(path_ + " holds measurements " +
                  (found.empty() ? "that do not name " + std::string(what)
                                 : "of " + std::string(what) + " " + found) +
                  ", and these are of " + wanted + "; name another file with -o.");
    }
    points[{row.input_tokens, row.output_tokens, row.request_rate}].push_back(row);
  }
  for (const auto& [point, rows] : points) {
    // TPUT is written last.
    const auto complete =
        std::ranges::find(rows, benchmark::Metric::kTput, &benchmark::BenchmarkRow::metric);
    if (complete == rows.end()) continue;
    rows_.insert(rows_.end(), rows.begin(), rows.end());
    known_[point] = benchmark::MeasurementOf(rows);
  }
  return {};
}

std::optional<benchmark::Measurement> BenchmarkFile::Find(const benchmark::GridPoint& point) const {
  const auto found = known_.find(point);
  if (found == known_.end()) return std::nullopt;
  return found->second;
}

Result<void> BenchmarkFile::Add(const benchmark::Measurement& measured, std::int64_t seed) {
  std::vector<benchmark::BenchmarkRow> rows = benchmark::RowsOf(measured, seed, subject_.model);
  for (benchmark::BenchmarkRow& row : rows) {
    row.deployment = subject_.deployment;
    row.slo = subject_.slo;
  }
  std::string text;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row)
    text += benchmark::FormatBenchmarkRow(*row);
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() ||
      std::fflush(file_.get()) != 0) {
    return tl::unexpected(CannotWrite(path_));
  }
  rows_.insert(rows_.end(), rows.begin(), rows.end());
  known_[measured.point] = measured;
  return {};
}

Result<void> BenchmarkFile::Finish() { return Rewrite(); }

// Replaces the file as a whole and leaves it open for more.
Result<void> BenchmarkFile::Rewrite() {
  const std::string text = FormatBenchmark(rows_);
  const std::string temporary = path_ + ".tmp" + std::to_string(getpid());
  file_.reset(std::fopen(temporary.c_str(), "wb"));
  if (!file_ || std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() ||
      std::fflush(file_.get()) != 0 || std::rename(temporary.c_str(), path_.c_str()) != 0) {
    const Error error = CannotWrite(path_);
    std::remove(temporary.c_str());
    return tl::unexpected(error);
  }
  return {};
}

std::string FormatBenchmark(std::vector<benchmark::BenchmarkRow> rows) {
  std::ranges::sort(rows, {}, [](const benchmark::BenchmarkRow& row) {
    return std::tuple(row.output_tokens, row.input_tokens, row.request_rate, row.metric);
  });
  std::string text;
  for (const benchmark::BenchmarkRow& row : rows) text += benchmark::FormatBenchmarkRow(row);
  return text;
}

}  // namespace headrace::measure
