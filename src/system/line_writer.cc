#include "system/line_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "system/clock.h"

namespace headrace::system {
namespace {

constexpr Seconds kTimeToEnd = 1;
constexpr Seconds kReopenInterval = 1;
constexpr int kPollMilliseconds = 100;

int OpenToAppend(const std::string& path) {
  constexpr int kReadableByAll = 0644;
  // Without O_NONBLOCK, a FIFO that nobody reads would be opened for ever.
  return open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, kReadableByAll);
}

}  // namespace

Result<std::unique_ptr<LineWriter>> LineWriter::Open(const std::string& path,
                                                     OnWritten on_written) {
  if (path == "stdout") {
    return std::unique_ptr<LineWriter>(new LineWriter("", STDOUT_FILENO, std::move(on_written)));
  }
  const int file = OpenToAppend(path);
  if (file < 0) return Fail(path + " cannot be opened to append to it: " + std::strerror(errno));
  return std::unique_ptr<LineWriter>(new LineWriter(path, file, std::move(on_written)));
}

LineWriter::LineWriter(std::string path, int file, OnWritten on_written)
    : path_(std::move(path)),
      on_written_(std::move(on_written)),
      file_(file),
      thread_([this] { Run(); }) {}

LineWriter::~LineWriter() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    give_up_ = MonotonicNow() + kTimeToEnd;
  }
  changed_.NotifyAll();
  thread_.join();
  if (!path_.empty()) close(file_);
}

void LineWriter::Write(std::string_view line) {
  {
    const MutexLock lock(mutex_);
    if (waiting_.size() + line.size() + 1 > kMostWaitingBytes) {
      ++dropped_;
      return;
    }
    waiting_.append(line).append("\n");
  }
  changed_.NotifyAll();
}

void LineWriter::Reopen() {
  {
    const MutexLock lock(mutex_);
    reopen_ = true;
  }
  changed_.NotifyAll();
}

void LineWriter::Run() {
  // Where nobody reads any more, a write fails; it must not end the program.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  Seconds reopened = MonotonicNow();
  std::string text;
  for (bool stopping = false; !stopping;) {
    text.clear();
    bool asked = false;
    {
      const MutexLock lock(mutex_);
      while (waiting_.empty() && !reopen_ && !stopping_) changed_.Wait(mutex_);
      text.swap(waiting_);
      asked = std::exchange(reopen_, false);
      stopping = stopping_;
    }
    fault_.clear();
    if (!path_.empty() && (asked || MonotonicNow() - reopened >= kReopenInterval)) {
      OpenAnew();
      reopened = MonotonicNow();
    }
    if (!Put(text)) return;
    if (on_written_) on_written_(fault_);
  }
}

// A pipe that can be written to at all takes PIPE_BUF bytes without blocking.
bool LineWriter::Put(std::string_view text) {
  // What could not be written in whole gets its end, so that it spoils no other line.
  const std::string_view all = text;
  if (torn_ && !text.empty()) {
    const ssize_t written = write(file_, "\n", 1);
    if (written != 1) {
      Lose(text, written < 0 ? errno : EIO);
      return true;
    }
    torn_ = false;
  }
  while (!text.empty()) {
    if (MonotonicNow() > give_up_) return false;
    pollfd ready{.fd = file_, .events = POLLOUT, .revents = 0};
    if (poll(&ready, 1, kPollMilliseconds) == 0) continue;
    const ssize_t written = write(file_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written < 0) {
      const int error = errno;
      torn_ = text.size() < all.size() && all[all.size() - text.size() - 1] != '\n';
      Lose(text, error);
      return true;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// Nobody reads, or the disk is full: these lines are lost, later ones may not be.
void LineWriter::Lose(std::string_view text, int error) {
  dropped_ += static_cast<std::uint64_t>(std::ranges::count(text, '\n'));
  fault_ = "cannot be written: " + std::string(std::strerror(error));
}

// As programs that rotate logs expect, without a signal.
void LineWriter::OpenAnew() {
  struct stat there{};
  struct stat here{};
  const bool same = stat(path_.c_str(), &there) == 0 && fstat(file_, &here) == 0 &&
                    there.st_dev == here.st_dev && there.st_ino == here.st_ino;
  if (same) return;
  const int file = OpenToAppend(path_);
  if (file < 0) {
    fault_ = "cannot be opened anew: " + std::string(std::strerror(errno));
    return;
  }
  close(file_);
  file_ = file;
  torn_ = false;
}

}  // namespace headrace::system
