// What the soak tests stand on: profiles, and engines and a gateway as processes of their own.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "admin/admin_server.h"
#include "discovery/name_resolver.h"
#include "discovery/named_endpoints.h"
#include "gateway/gateway.h"
#include "net/test_peers.h"
#include "system/termination.h"

namespace headrace {

// What an endpoint takes at a time, in requests of the middle cell.
inline std::string ProfileText(const std::string& deployment, int created, double fits) {
  const std::string f = std::to_string(fits);
  return R"({"gpu": ")" + deployment + R"(", "cost": 1, "created": )" + std::to_string(created) +
         R"(, "indexes": [[8, 64], [16, 256, 1024]],)"
         R"( "tputs": [[)" +
         f + ", " + f + ", " + f + "], [" + f + ", " + f + ", " + f + "]]," +
         R"( "e2e": [[0.4, 0.5, 0.6], [0.5, 0.6, 0.8]],)"
         R"( "ttft": [[0.05, 0.06, 0.1], [0.05, 0.06, 0.1]], "slos": {"e2e": 60}})";
}

inline std::string ReadText(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Whole or not at all.
inline void Publish(const std::filesystem::path& file, const std::string& text) {
  const std::filesystem::path unfinished = file.string() + ".new";
  std::ofstream(unfinished, std::ios::binary) << text;
  std::filesystem::rename(unfinished, file);
}

// --- Processes

// One that ends with its owner, or with this process.
class ChildProcess {
 public:
  // Runs `body` in a copy of this process, which must not have started threads. What it writes to
  // standard error goes to the file.
  ChildProcess(const std::function<int()>& body, const std::filesystem::path& errors) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int file = ::open(errors.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(file, STDERR_FILENO);
    ::_exit(body());
  }
  explicit ChildProcess(std::vector<std::string> words) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ~ChildProcess() {
    if (pid_ <= 0) return;
    Send(SIGKILL);
    Wait();
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  void Send(int signal) const { ::kill(pid_, signal); }
  // Its exit status; -1 if a signal ended it.
  int Wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_;
};

inline std::int64_t ResidentBytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::int64_t all = 0;
  std::int64_t resident = 0;
  file >> all >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

inline int OpenDescriptors(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  DIR* const directory = ::opendir(folder.c_str());
  if (directory == nullptr) return 0;
  int count = -2;  // "." and "..".
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

// --- Engines

// `headrace engine` at an address of its own, which it keeps.
class EngineProcess {
 public:
  EngineProcess(std::string program, std::string address, std::string gpu, double speed)
      : program_(std::move(program)),
        address_(std::move(address)),
        gpu_(std::move(gpu)),
        speed_(speed) {}

  const std::string& address() const { return address_; }
  void Start() { Start(gpu_, 0); }
  // Another one than before.
  void Start(const std::string& gpu, int max_model_len) {
    std::vector<std::string> words{program_, "engine", "--listen", address_,
                                   "--gpu",  gpu,      "--speed",  std::to_string(speed_)};
    if (max_model_len > 0) {
      words.insert(words.end(), {"--max-model-len", std::to_string(max_model_len)});
    }
    process_ = std::make_unique<ChildProcess>(std::move(words));
  }
  void Kill() { process_.reset(); }
  void Stop() {
    process_->Send(SIGTERM);
    process_->Wait();
    process_.reset();
  }
  // It accepts connections, as the system does that for it, and does not answer.
  void Pause() const { process_->Send(SIGSTOP); }
  void Continue() const { process_->Send(SIGCONT); }

 private:
  std::string program_;
  std::string address_;
  std::string gpu_;
  double speed_;
  std::unique_ptr<ChildProcess> process_;
};

// --- The gateway

// A gateway whose engines are found as `headrace serve` finds them, but by a resolver that reads
// the file `hosts` of its folder: the addresses of every name, one a line. It says in the file
// `addresses` where it listens, and in `ledger` what its metrics were at the end.
class GatewayProcess {
 public:
  GatewayProcess(const std::filesystem::path& folder, const config::Config& config,
                 const std::vector<discovery::NamedDeployment>& deployments)
      : folder_(folder),
        process_([&] { return Serve(folder, config, deployments); }, folder / "gateway.log") {}

  pid_t pid() const { return process_.pid(); }
  // Where clients connect, and where operators do; false if it does not say so within 20 s.
  bool Find(system::SocketAddress& clients, system::SocketAddress& admin) const {
    if (!gateway::Eventually([&] { return std::filesystem::exists(folder_ / "addresses"); })) {
      return false;
    }
    std::ifstream file(folder_ / "addresses");
    std::string first;
    std::string second;
    file >> first >> second;
    clients = *system::ParseHostPort(first).and_then(system::Resolve);
    admin = *system::ParseHostPort(second).and_then(system::Resolve);
    return true;
  }
  void Stop() const { process_.Send(SIGTERM); }
  int Wait() { return process_.Wait(); }
  std::string Ledger() const { return ReadText(folder_ / "ledger"); }
  std::string Log() const { return ReadText(folder_ / "gateway.log"); }

 private:
  static int Serve(const std::filesystem::path& folder, const config::Config& config,
                   const std::vector<discovery::NamedDeployment>& deployments) {
    system::Termination termination;
    telemetry::Log log(telemetry::LogLevel::kWarning, telemetry::LogFormat::kText);
    telemetry::MetricsRegistry registry;
    const auto resolve = [folder](const system::HostPort& name) {
      Result<std::vector<system::SocketAddress>> addresses;
      if (name.host != "engines") return system::ResolveAll(name);
      std::ifstream file(folder / "hosts");
      for (std::string line; std::getline(file, line);) {
        addresses->push_back(*system::Resolve({line, name.port}));
      }
      return addresses;
    };
    gateway::EndpointSources sources;
    const auto resolver = std::make_shared<discovery::NameResolver>(resolve);
    sources.push_back(std::make_unique<discovery::NamedEndpoints>(deployments, resolver));
    sources.back()->Refresh(system::MonotonicNow());
    resolver->Wait(5);
    sources.back()->Refresh(system::MonotonicNow());
    const auto gateway = gateway::Gateway::Start(config, std::move(sources), log, registry);
    if (!gateway) {
      log.Error(gateway.error().message);
      return 1;
    }
    const auto admin = admin::AdminServer::Start(config.admin, **gateway, registry);
    Publish(folder / "addresses",
            (*gateway)->address().ToString() + "\n" + (*admin)->address().ToString() + "\n");
    termination.Wait();
    (*gateway)->Stop();
    Publish(folder / "ledger", registry.Text());
    return 0;
  }

  std::filesystem::path folder_;
  ChildProcess process_;
};

}  // namespace headrace
