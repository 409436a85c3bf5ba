// Writes the pages of the evaluation and their figures: headrace-evaluate [TEMPLATE PAGE]…
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"
#include "evaluation/evaluation.h"
#include "system/files.h"
#include "system/termination.h"

namespace {

constexpr const char* kFigures = "evaluation";

int Fault(const std::string& sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  return 1;
}

// Whether the results can be written: asked first, as the runs take minutes.
headrace::Result<void> CheckPlaces(const std::vector<std::pair<std::string, std::string>>& pages,
                                   const std::filesystem::path& folder) {
  for (const auto& [source, target] : pages) {
    HEADRACE_TRY(headrace::system::CheckWritable(target));
  }
  return headrace::system::PrepareDirectory(folder.string());
}

}  // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  if (argc % 2 == 0) {
    const bool asked = argc == 2 && std::string_view(argv[1]) == "--help";
    std::fprintf(asked ? stdout : stderr,
                 "usage: headrace-evaluate [TEMPLATE PAGE]…   (default: the pages of docs/)\n");
    return asked ? 0 : 2;
  }
  // Pages of one evaluation: a scenario runs once for all of them.
  std::vector<std::pair<std::string, std::string>> pages;
  for (int i = 1; i + 1 < argc; i += 2) pages.emplace_back(argv[i], argv[i + 1]);
  if (pages.empty()) {
    pages = {{"docs/evaluation.template.md", "docs/evaluation.md"},
             {"docs/evaluation-details.template.md", "docs/evaluation-details.md"}};
  }
  const fs::path folder = fs::path(pages.front().second).parent_path() / kFigures;
  if (auto places = CheckPlaces(pages, folder); !places) return Fault(places.error().message);
  // A first signal ends with the pages as far as they are filled.
  const headrace::system::Interruption interruption;
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [begin] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  headrace::evaluation::Evaluation evaluation(
      "scenarios", [](const std::string& path) { return headrace::system::ReadFile(path); },
      std::max(std::thread::hardware_concurrency(), 1u),
      [&seconds](const std::string& scenario) {
        std::fprintf(stderr, "%5.0f s  %s\n", seconds(), scenario.c_str());
      },
      &interruption.came());
  std::vector<headrace::evaluation::EvaluationPage> filled;
  for (const auto& [source, target] : pages) {
    auto page = headrace::system::ReadFile(source).and_then(
        [&](const std::string& text) { return evaluation.Fill(text, source, kFigures); });
    if (!page) return Fault(page.error().message);
    filled.push_back(*std::move(page));
  }

  std::size_t left = 0;
  for (const headrace::evaluation::EvaluationPage& page : filled) left += page.left;
  if (left == 0) {
    // Those that no page shows any more.
    std::error_code error;
    fs::remove_all(folder, error);
    fs::create_directories(folder, error);
  }
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
  if (left > 0) {
    return Fault("Stopped: " + std::to_string(left) +
                 " directives are not filled; they stand in the pages as in the templates.");
  }
  std::fprintf(stderr, "%5.0f s  done\n", seconds());
  return 0;
}
