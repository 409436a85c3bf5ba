// Whole files.
#pragma once

#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace headrace::system {

// The whole contents; a gzip file is unpacked. "-" is standard input.
Result<std::string> ReadFile(const std::string& path);

// The same of a file that a person writes, whatever the path names: an error if it has more than
// `most` bytes, or if a pipe does not end within `patience`. Nothing is unpacked.
Result<std::string> ReadSmallFile(const std::string& path, std::size_t most, Seconds patience = 10);

// Writes to a temporary file that takes the place of `path` once it is complete, so that a reader
// never sees half of it. Pipes and devices are written directly; "-" is standard output.
class OutputFile {
 public:
  static Result<OutputFile> Open(const std::string& path);
  ~OutputFile();
  OutputFile(OutputFile&&) = default;

  // Errors are reported by Finish.
  void Write(std::string_view text);
  // Without it, `path` stays unchanged.
  Result<void> Finish();

 private:
  struct Closer {
    void operator()(std::FILE* file) const;
  };
  explicit OutputFile(const std::string& path) : path_(path), target_(path) {}

  std::string path_;       // As the caller gave it.
  std::string target_;     // With symbolic links resolved.
  std::string temporary_;  // Empty if the file is written directly.
  std::unique_ptr<std::FILE, Closer> file_;
};

// An OutputFile of one text.
Result<void> WriteFile(const std::string& path, std::string_view text);

// The paths of a directory's files with this extension (".json"), sorted.
Result<std::vector<std::string>> ListFiles(const std::string& directory,
                                           std::string_view extension);

// Makes a directory that does not exist yet, with its parents. An error unless files can be written
// in it.
Result<void> PrepareDirectory(const std::string& directory);

}  // namespace headrace::system
