// Files, for the subcommands.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace headrace::cli {

// The whole contents; gzip is unpacked whatever the name; "-" is the standard input.
Result<std::string> ReadFile(const std::string& path);

// Writes a file that is not there, or not another one, until it is complete: a watcher never reads
// half of it. What is no file (a pipe, /dev/null) is written to as it is; "-" is the standard
// output.
class OutputFile {
 public:
  static Result<OutputFile> Open(const std::string& path);
  ~OutputFile();
  OutputFile(OutputFile&&) = default;

  // Errors show when it is finished.
  void Write(std::string_view text);
  // Not finished: left as it was.
  Result<void> Finish();

 private:
  struct Closer {
    void operator()(std::FILE* file) const;
  };
  explicit OutputFile(const std::string& path) : path_(path), target_(path) {}

  std::string path_;       // As it was given.
  std::string target_;     // Behind symbolic links.
  std::string temporary_;  // Empty: written to directly.
  std::unique_ptr<std::FILE, Closer> file_;
};

// An OutputFile of one text.
Result<void> WriteFile(const std::string& path, std::string_view text);

// A file as it is, of a directory its *.json by name. An error for a directory without any.
Result<std::vector<std::string>> ListJsonFiles(const std::string& path);

}  // namespace headrace::cli
