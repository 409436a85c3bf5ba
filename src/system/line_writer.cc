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

Result<std::unique_ptr<LineWriter>> LineWriter::Open(const std::string& path) {
  if (path == "stdout") return std::unique_ptr<LineWriter>(new LineWriter("", STDOUT_FILENO));
  const int file = OpenToAppend(path);
  if (file < 0) return Fail(path + " cannot be opened to append to it: " + std::strerror(errno));
  return std::unique_ptr<LineWriter>(new LineWriter(path, file));
}

LineWriter::LineWriter(std::string path, int file)
    : path_(std::move(path)), file_(file), thread_([this] { Run(); }) {}

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
    {
      const MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) changed_.Wait(mutex_);
      text.swap(waiting_);
      stopping = stopping_;
    }
    if (!path_.empty() && MonotonicNow() - reopened >= kReopenInterval) {
      Reopen();
      reopened = MonotonicNow();
    }
    if (!Put(text)) return;
  }
}

// A pipe that can be written to at all takes PIPE_BUF bytes without blocking.
bool LineWriter::Put(std::string_view text) {
  while (!text.empty()) {
    if (MonotonicNow() > give_up_) return false;
    pollfd ready{.fd = file_, .events = POLLOUT, .revents = 0};
    if (poll(&ready, 1, kPollMilliseconds) == 0) continue;
    const ssize_t written = write(file_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written < 0) {
      // Nobody reads, or the disk is full: these lines are lost, later ones may not be.
      dropped_ += static_cast<std::uint64_t>(std::ranges::count(text, '\n'));
      return true;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// As programs that rotate logs expect, without a signal.
void LineWriter::Reopen() {
  struct stat there{};
  struct stat here{};
  const bool same = stat(path_.c_str(), &there) == 0 && fstat(file_, &here) == 0 &&
                    there.st_dev == here.st_dev && there.st_ino == here.st_ino;
  if (same) return;
  const int file = OpenToAppend(path_);
  if (file < 0) return;
  close(file_);
  file_ = file;
}

}  // namespace headrace::system
