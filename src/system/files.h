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

// How sentences about its contents name it: "standard input" for "-".
std::string InputName(const std::string& path);

// The same of a file that a person writes, whatever the path names: an error if it has more than
// `most` bytes, or if a pipe does not end within `patience`. Nothing is unpacked.
Result<std::string> ReadSmallFile(const std::string& path, std::size_t most, Seconds patience = 10);

// Whether nobody reads any more what is written there, as after `| head`.
bool ReaderHasLeft(std::FILE* file);

// Writes to a temporary file that takes the place of `path` once it is complete, so that a reader
// never sees half of it. Pipes and devices are written directly; "-" is standard output, whose
// reader may leave: then nobody wants the rest.
class OutputFile {
 public:
  static Result<OutputFile> Open(const std::string& path);
  // The same, but writes to `path` itself: for rows that somebody reads while more are coming, and
  // that are to stay if the program ends before Finish.
  static Result<OutputFile> OpenInPlace(const std::string& path);
  ~OutputFile();
  OutputFile(OutputFile&&) = default;
  OutputFile& operator=(OutputFile&&) = default;

  // Errors are reported by Flush and Finish.
  void Write(std::string_view text);
  // What was written so far is in the file.
  Result<void> Flush();
  // Without it, `path` stays unchanged, unless it is written in place.
  Result<void> Finish();

 private:
  struct Closer {
    void operator()(std::FILE* file) const;
  };
  explicit OutputFile(const std::string& path) : path_(path), target_(path) {}
  Result<void> OpenFile();

  std::string path_;       // As the caller gave it.
  std::string target_;     // With symbolic links resolved.
  std::string temporary_;  // Empty if the file is written directly.
  std::unique_ptr<std::FILE, Closer> file_;
};

// An OutputFile of one text.
Result<void> WriteFile(const std::string& path, std::string_view text);

// Whether a file can be written there: asked before a long run, whose result would be lost. An
// empty path is no file.
Result<void> CheckWritable(const std::string& path);
// The same of one that is written in place.
Result<void> CheckWritableInPlace(const std::string& path);

// The paths of a directory's files with this extension (".json"), sorted.
Result<std::vector<std::string>> ListFiles(const std::string& directory,
                                           std::string_view extension);

// Makes a directory that does not exist yet, with its parents. An error unless files can be written
// in it.
Result<void> PrepareDirectory(const std::string& directory);

}  // namespace headrace::system
