// For tests: a real Kubernetes API server of one's own (tests/kubernetes/cluster).
#pragma once

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace headrace {

// Ends with its owner, or with this process. It starts in about 5 s, so what can share one should:
// in namespaces of their own. Run from the repository's root.
class TestCluster {
 public:
  // None where tests/kubernetes/setup could not build it: for GTEST_SKIP. Throws if it fails.
  static std::unique_ptr<TestCluster> Start() {
    std::unique_ptr<TestCluster> cluster(new TestCluster);
    const std::string line = cluster->ReadLine();
    if (line.empty()) {
      if (const int status = cluster->Wait(); status != kSkipped) {
        throw std::runtime_error("tests/kubernetes/cluster ends with " + std::to_string(status));
      }
      return nullptr;
    }
    const auto description = nlohmann::json::parse(line);
    cluster->server_ = description.at("server");
    cluster->ca_file_ = description.at("ca_file");
    cluster->admin_token_ = description.at("admin_token");
    cluster->kubeconfig_ = description.at("kubeconfig");
    return cluster;
  }
  ~TestCluster() {
    std::fclose(commands_);
    std::fclose(answers_);
    if (pid_ > 0) Wait();
  }
  TestCluster(const TestCluster&) = delete;
  TestCluster& operator=(const TestCluster&) = delete;

  const std::string& server() const { return server_; }            // https://127.0.0.1:…
  const std::string& ca_file() const { return ca_file_; }          // PEM.
  const std::string& admin_token() const { return admin_token_; }  // May do everything.
  const std::string& kubeconfig() const { return kubeconfig_; }    // A file; the admin's.

  // Ends the API server at once, as a crash does. Its objects stay.
  void Kill() { Command("kill"); }
  // Starts it again, on the same port, and waits until it is ready.
  void Restart() { Command("start"); }
  // Starts it anew with another key: all service-account tokens from before are refused.
  void Rotate() { Command("rotate"); }
  // A token of a service account that exists.
  std::string Token(const std::string& name_space, const std::string& name) {
    return Command("token " + name_space + ' ' + name).at("token");
  }

 private:
  static constexpr int kSkipped = 77;

  TestCluster() {
    int commands[2];
    int answers[2];
    if (::pipe2(commands, O_CLOEXEC) != 0 || ::pipe2(answers, O_CLOEXEC) != 0) {
      throw std::runtime_error("no pipe can be made");
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      ::dup2(commands[0], STDIN_FILENO);
      ::dup2(answers[1], STDOUT_FILENO);
      ::execl("tests/kubernetes/cluster", "cluster", nullptr);
      ::_exit(127);
    }
    ::close(commands[0]);
    ::close(answers[1]);
    commands_ = ::fdopen(commands[1], "w");
    answers_ = ::fdopen(answers[0], "r");
  }

  nlohmann::json Command(const std::string& words) {
    std::fprintf(commands_, "%s\n", words.c_str());
    std::fflush(commands_);
    auto answer = nlohmann::json::parse(ReadLine());
    if (answer.contains("error")) throw std::runtime_error(words + ": " + answer["error"].dump());
    return answer;
  }
  // Empty when there is none any more.
  std::string ReadLine() {
    std::string line;
    for (int c = 0; (c = std::fgetc(answers_)) != EOF && c != '\n';) line += static_cast<char>(c);
    return line;
  }
  int Wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  pid_t pid_ = -1;
  std::FILE* commands_ = nullptr;
  std::FILE* answers_ = nullptr;
  std::string server_;
  std::string ca_file_;
  std::string admin_token_;
  std::string kubeconfig_;
};

}  // namespace headrace
