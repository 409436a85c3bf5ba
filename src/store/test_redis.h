// For tests: a real redis-server of one's own.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "store/redis.h"
#include "system/clock.h"

namespace headrace::store {

// Debian's redis-server on a free loopback port, without persistence; stopped with its owner.
class TestRedis {
 public:
  explicit TestRedis(std::vector<std::string> options = {}) : options_(std::move(options)) {
    url_.host = "127.0.0.1";
    url_.port = FreePort();
    Start();
  }
  ~TestRedis() { Stop(); }
  TestRedis(const TestRedis&) = delete;
  TestRedis& operator=(const TestRedis&) = delete;

  static int FreePort() {
    const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(probe, reinterpret_cast<sockaddr*>(&address), size) != 0) std::abort();
    ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size);
    ::close(probe);
    return ntohs(address.sin_port);
  }

  void Start() {
    std::vector<std::string> words{"redis-server",
                                   "--port",
                                   std::to_string(url_.port),
                                   "--bind",
                                   "127.0.0.1",
                                   "--save",
                                   "",
                                   "--appendonly",
                                   "no",
                                   "--dir",
                                   "/tmp",
                                   "--loglevel",
                                   "warning",
                                   "--logfile",
                                   "/dev/null"};
    words.insert(words.end(), options_.begin(), options_.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    const Seconds end = system::MonotonicNow() + 20;
    for (;;) {
      Redis redis(url_);
      const auto reached = redis.Get(std::vector<std::string>{"x"});
      if (reached || reached.error().message.find("refuses") != std::string::npos) return;
      if (system::MonotonicNow() > end || ::waitpid(pid_, nullptr, WNOHANG) == pid_) {
        throw std::runtime_error("redis-server does not start; install Debian's redis-server");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  void Stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  // Stopped and continued: reachable, but without a response.
  void Freeze() const { ::kill(pid_, SIGSTOP); }
  void Thaw() const { ::kill(pid_, SIGCONT); }

  // A command that class Redis does not offer.
  void Cli(const std::string& words) const {
    const std::string command =
        "redis-cli -p " + std::to_string(url_.port) + " " + words + " >/dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("redis-cli failed: " + words);
  }

  const RedisUrl& url() const { return url_; }
  // Of database 0, or with more to it.
  std::string Url(const std::string& rest = "") const {
    return "redis://127.0.0.1:" + std::to_string(url_.port) + rest;
  }

 private:
  std::vector<std::string> options_;
  RedisUrl url_;
  pid_t pid_ = -1;
};

}  // namespace headrace::store
