// Writes the pages of the evaluation and their figures: headrace-evaluate [TEMPLATE PAGE]…
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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
  if (argc % 2 == 0) {
    std::fprintf(stderr,
                 "usage: headrace-evaluate [TEMPLATE PAGE]…   (default: the pages of docs/)\n");
    return 2;
  }
  // Pages of one evaluation: a scenario runs once for all of them.
  std::vector<std::pair<std::string, std::string>> pages;
  for (int i = 1; i + 1 < argc; i += 2) pages.emplace_back(argv[i], argv[i + 1]);
  if (pages.empty()) {
    pages = {{"docs/evaluation.template.md", "docs/evaluation.md"},
             {"docs/evaluation-details.template.md", "docs/evaluation-details.md"}};
  }
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
  std::vector<headrace::evaluation::EvaluationPage> filled;
  for (const auto& [source, target] : pages) {
    auto page = headrace::system::ReadFile(source).and_then(
        [&](const std::string& text) { return evaluation.Fill(text, source, kFigures); });
    if (!page) return Fault(page.error().message);
    filled.push_back(*std::move(page));
  }

  const fs::path folder = fs::path(pages.front().second).parent_path() / kFigures;
  std::error_code error;
  fs::remove_all(folder, error);
  fs::create_directories(folder, error);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    for (const auto& [file, svg] : filled[i].figures) {
      if (auto written = headrace::system::WriteFile((folder / file).string(), svg); !written) {
        return Fault(written.error().message);
      }
    }
    if (auto written = headrace::system::WriteFile(pages[i].second, filled[i].markdown); !written) {
      return Fault(written.error().message);
    }
  }
  std::fprintf(stderr, "%5.0f s  done\n", seconds());
  return 0;
}
