// Writes docs/evaluation.md and its figures: headrace-evaluate [template [page]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include "evaluation/evaluation.h"
#include "system/files.h"

namespace {

constexpr const char* kFigures = "evaluation";

int Fault(const std::string& sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  const std::string source = argc > 1 ? argv[1] : "docs/evaluation.template.md";
  const std::string target = argc > 2 ? argv[2] : "docs/evaluation.md";
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [begin] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  headrace::evaluation::Evaluation evaluation(
      "scenarios", [](const std::string& path) { return headrace::system::ReadFile(path); },
      std::max(std::thread::hardware_concurrency(), 1u),
      [&seconds](const std::string& scenario) {
        std::fprintf(stderr, "%5.0f s  %s\n", seconds(), scenario.c_str());
      });
  const auto page = headrace::system::ReadFile(source).and_then(
      [&](const std::string& text) { return evaluation.Fill(text, source, kFigures); });
  if (!page) return Fault(page.error().message);

  const fs::path folder = fs::path(target).parent_path() / kFigures;
  std::error_code error;
  fs::remove_all(folder, error);
  fs::create_directories(folder, error);
  for (const auto& [file, svg] : page->figures) {
    if (auto written = headrace::system::WriteFile((folder / file).string(), svg); !written) {
      return Fault(written.error().message);
    }
  }
  if (auto written = headrace::system::WriteFile(target, page->markdown); !written) {
    return Fault(written.error().message);
  }
  std::fprintf(stderr, "%5.0f s  done: %s\n", seconds(), target.c_str());
  return 0;
}
