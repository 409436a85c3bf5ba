#include "cli/files.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace headrace {
namespace {

namespace fs = std::filesystem;

std::string LastSystemError() { return std::error_code(errno, std::generic_category()).message(); }

}  // namespace

Result<std::string> ReadFile(const std::string& path) {
  errno = 0;
  // gzread hands plain files through as they are.
  gzFile file = path == "-" ? gzdopen(dup(STDIN_FILENO), "rb") : gzopen(path.c_str(), "rb");
  if (!file) return Fail(path + ": cannot be opened (" + LastSystemError() + ").");
  std::string text;
  std::array<char, 1 << 16> buffer{};
  int count = 0;
  while ((count = gzread(file, buffer.data(), buffer.size())) > 0)
    text.append(buffer.data(), count);
  int status = Z_OK;
  std::string reason = gzerror(file, &status);
  if (status == Z_ERRNO) reason = LastSystemError();
  // A truncated gzip file reads without an error but does not close without one.
  const int closed = gzclose(file);
  if (count < 0) return Fail(path + ": cannot be read (" + reason + ").");
  if (closed == Z_BUF_ERROR) return Fail(path + ": the gzip file is truncated; copy it again.");
  return text;
}

Result<void> WriteFile(const std::string& path, std::string_view text) {
  if (path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return {};
  }
  const std::string temporary = path + ".tmp" + std::to_string(getpid());
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  if (!file) return Fail(path + ": cannot be written (" + LastSystemError() + ").");
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = std::fclose(file) == 0;
  if (!written || !closed || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string reason = LastSystemError();
    std::remove(temporary.c_str());
    return Fail(path + ": cannot be written (" + reason + ").");
  }
  return {};
}

Result<std::vector<std::string>> ListJsonFiles(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".json") files.push_back(entry->path().string());
  }
  if (error) return Fail(path + ": cannot be listed (" + error.message() + ").");
  if (files.empty()) return Fail(path + ": holds no *.json; name another directory.");
  std::ranges::sort(files);
  return files;
}

}  // namespace headrace
