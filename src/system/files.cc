#include "system/files.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/text.h"
#include "system/clock.h"

namespace headrace::system {
namespace {

namespace fs = std::filesystem;

std::string LastSystemError() { return std::error_code(errno, std::generic_category()).message(); }

std::string OutputName(const std::string& path) { return path == "-" ? "standard output" : path; }

tl::unexpected<Error> CannotWrite(const std::string& path) {
  return Fail(OutputName(path) + ": cannot be written (" + LastSystemError() + ").");
}

}  // namespace

std::string InputName(const std::string& path) { return path == "-" ? "standard input" : path; }

Result<std::string> ReadFile(const std::string& path) {
  errno = 0;
  // gzread reads plain files unchanged.
  gzFile file = path == "-" ? gzdopen(dup(STDIN_FILENO), "rb") : gzopen(path.c_str(), "rb");
  if (!file) return Fail(InputName(path) + ": cannot be opened (" + LastSystemError() + ").");
  std::string text;
  std::array<char, 1 << 16> buffer{};
  int count = 0;
  while ((count = gzread(file, buffer.data(), buffer.size())) > 0)
    text.append(buffer.data(), count);
  int status = Z_OK;
  std::string reason = gzerror(file, &status);
  if (status == Z_ERRNO) reason = LastSystemError();
  // For a truncated gzip file only gzclose reports an error.
  const int closed = gzclose(file);
  if (count < 0) return Fail(InputName(path) + ": cannot be read (" + reason + ").");
  if (closed == Z_BUF_ERROR) {
    return Fail(InputName(path) + ": the gzip file is truncated; copy it again.");
  }
  return text;
}

Result<std::string> ReadSmallFile(const std::string& path, std::size_t most, Seconds patience) {
  const auto cannot = [&path](const std::string& why) {
    return Fail(InputName(path) + ": cannot be read (" + why + ").");
  };
  // Without O_NONBLOCK, a FIFO that nobody writes to would be opened for ever.
  const int opened = path == "-" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                 : open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (opened < 0) return Fail(InputName(path) + ": cannot be opened (" + LastSystemError() + ").");
  const std::unique_ptr<const int, void (*)(const int*)> file(&opened,
                                                              [](const int* fd) { close(*fd); });
  struct stat status{};
  if (fstat(opened, &status) == 0 && S_ISDIR(status.st_mode)) {
    return Fail(InputName(path) + ": is a folder; name a file in it.");
  }
  const Seconds deadline = MonotonicNow() + patience;
  std::string text;
  std::array<char, 1 << 16> buffer{};
  for (;;) {
    pollfd wait{.fd = opened, .events = POLLIN, .revents = 0};
    const Seconds left = std::max(0.0, deadline - MonotonicNow());
    const int ready = poll(&wait, 1, static_cast<int>(std::ceil(left * 1000)));
    if (ready == 0) {
      return Fail(InputName(path) + ": did not end within " + FormatDuration(patience) +
                  "; name a file, or a pipe that something writes to.");
    }
    const ssize_t count = ready < 0 ? -1 : read(opened, buffer.data(), buffer.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return cannot(LastSystemError());
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > most) {
      return Fail(InputName(path) + ": has more than " + std::to_string(most) +
                  " bytes; name a smaller file.");
    }
  }
}

bool ReaderHasLeft(std::FILE* file) {
  pollfd output{.fd = fileno(file), .events = POLLOUT, .revents = 0};
  return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

void OutputFile::Closer::operator()(std::FILE* file) const {
  if (file != stdout) std::fclose(file);
}

OutputFile::~OutputFile() {
  if (file_ && !temporary_.empty()) std::remove(temporary_.c_str());
}

Result<OutputFile> OutputFile::Open(const std::string& path) {
  std::error_code error;
  OutputFile output(path);
  if (path != "-" && (!fs::exists(path, error) || fs::is_regular_file(path, error))) {
    if (fs::is_symlink(path, error)) output.target_ = fs::weakly_canonical(path, error);
    output.temporary_ = output.target_ + ".tmp" + std::to_string(getpid());
  }
  HEADRACE_TRY(output.OpenFile());
  // Who could not read the old one cannot read the new one.
  const fs::file_status before = fs::status(output.target_, error);
  if (!output.temporary_.empty() && fs::is_regular_file(before)) {
    fs::permissions(output.temporary_, before.permissions(), error);
  }
  return output;
}

Result<OutputFile> OutputFile::OpenInPlace(const std::string& path) {
  OutputFile output(path);
  HEADRACE_TRY(output.OpenFile());
  return output;
}

Result<void> OutputFile::OpenFile() {
  if (path_ == "-") {
    file_.reset(stdout);
    return {};
  }
  std::error_code error;
  if (fs::is_directory(path_, error)) {
    return Fail(path_ + ": is a folder; name a file in it.");
  }
  if (temporary_.empty()) {
    file_.reset(std::fopen(target_.c_str(), "wb"));
  } else {
    // Its name can be guessed: what somebody else has put there, a link perhaps, is not written to.
    std::remove(temporary_.c_str());
    file_.reset(std::fopen(temporary_.c_str(), "wbx"));
  }
  if (file_) return {};
  const int reason = errno;
  const fs::path folder = fs::path(target_).parent_path();
  if (!folder.empty() && !fs::exists(folder, error)) {
    return Fail(path_ + ": there is no folder " + folder.string() + "; make it, or name another.");
  }
  errno = reason;
  return CannotWrite(path_);
}

void OutputFile::Write(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), file_.get());
}

Result<void> OutputFile::Flush() {
  if (std::fflush(file_.get()) == 0 && std::ferror(file_.get()) == 0) return {};
  const auto error = CannotWrite(path_);
  if (file_.get() == stdout && ReaderHasLeft(stdout)) return {};
  return error;
}

Result<void> OutputFile::Finish() {
  HEADRACE_TRY(Flush());
  // Some file systems report only now that they were full.
  const bool closed = file_.get() == stdout || std::fclose(file_.release()) == 0;
  if (closed && temporary_.empty()) return {};
  if (closed && std::rename(temporary_.c_str(), target_.c_str()) == 0) return {};
  const auto error = CannotWrite(path_);
  if (!temporary_.empty()) std::remove(temporary_.c_str());
  return error;
}

Result<void> WriteFile(const std::string& path, std::string_view text) {
  HEADRACE_ASSIGN(OutputFile output, OutputFile::Open(path));
  output.Write(text);
  return output.Finish();
}

Result<void> CheckWritable(const std::string& path) {
  if (path.empty() || path == "-") return {};
  std::error_code error;
  // Opening a pipe would wait for its reader.
  if (fs::exists(path, error) && !fs::is_regular_file(path, error) &&
      !fs::is_directory(path, error)) {
    return {};
  }
  return OutputFile::Open(path).map([](const OutputFile&) {});
}

Result<void> CheckWritableInPlace(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0 && access(path.c_str(), W_OK) != 0) return CannotWrite(path);
  return CheckWritable(path);
}

Result<std::vector<std::string>> ListFiles(const std::string& directory,
                                           std::string_view extension) {
  std::error_code error;
  std::vector<std::string> files;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == extension) files.push_back(entry->path().string());
  }
  if (error) return Fail(directory + ": cannot be listed (" + error.message() + ").");
  std::ranges::sort(files);
  return files;
}

Result<void> PrepareDirectory(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (fs::is_directory(directory) && access(directory.c_str(), W_OK) == 0) return {};
  return Fail(directory + ": is not a directory that can be written to; name another one.");
}

}  // namespace headrace::system
