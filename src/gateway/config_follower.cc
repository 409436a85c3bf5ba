#include "gateway/config_follower.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <utility>

#include "config/difference.h"
#include "config/yaml.h"
#include "system/clock.h"
#include "system/files.h"

namespace headrace::gateway {
namespace {

// A text that can be read again and again.
bool IsPipe(const std::string& file) {
  std::error_code code;
  const auto status = std::filesystem::status(file, code);
  return file == "-" ||
         (!code && std::filesystem::exists(status) && !std::filesystem::is_regular_file(status));
}

Result<std::string> Read(const std::string& file) {
  return system::ReadSmallFile(file, config::YamlBounds::kBytes);
}

std::string Joined(const std::vector<std::string>& texts) {
  constexpr std::size_t kMost = 20;
  std::string joined;
  for (std::size_t i = 0; i < std::min(texts.size(), kMost); ++i) {
    joined += (i == 0 ? "" : ", ") + texts[i];
  }
  if (texts.size() > kMost) joined += " and " + std::to_string(texts.size() - kMost) + " more";
  return joined;
}

}  // namespace

ConfigFollower::ConfigFollower(std::string file, std::string text, Parse parse, Gateway& gateway,
                               const telemetry::Log& log, telemetry::MetricsRegistry& registry,
                               Seconds interval)
    : file_(std::move(file)),
      parse_(std::move(parse)),
      gateway_(gateway),
      log_(log),
      metrics_(registry),
      interval_(interval),
      text_(std::move(text)) {
  status_.file = file_;
  status_.taken_over = system::UnixNow();
  metrics_.current.Set(1);
  metrics_.taken_over_seconds.Set(status_.taken_over);
  thread_ = std::thread([this] { Run(); });
}

ConfigFollower::~ConfigFollower() {
  {
    const system::MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  thread_.join();
}

ConfigFileStatus ConfigFollower::status() const {
  const system::MutexLock lock(mutex_);
  return status_;
}

ConfigFileStatus ConfigFollower::Reload() {
  gateway_.ReopenLogs();  // Whatever the file says: who rotates logs sends the same signal.
  const system::MutexLock lock(reload_mutex_);
  if (IsPipe(file_)) {
    Fail(file_ + ": a pipe cannot be read twice; give the configuration as a file");
  } else {
    TakeOver(Read(file_));
  }
  return status();
}

void ConfigFollower::Run() {
  for (;;) {
    {
      const system::MutexLock lock(mutex_);
      while (!stopping_ && stop_.WaitFor(mutex_, interval_)) {
      }
      if (stopping_) return;
    }
    gateway_.RefreshFiles();
    if (IsPipe(file_)) continue;
    const system::MutexLock lock(reload_mutex_);
    const Reading reading = Read(file_);
    if (text_.IsNew(reading)) TakeOver(reading);
  }
}

void ConfigFollower::TakeOver(const Reading& reading) {
  text_.Set(reading);
  const std::shared_ptr<const config::Config> before = gateway_.config();
  const auto config = reading.and_then([this](const std::string& text) { return parse_(text); });
  if (!config) return Fail(config.error().message);
  const auto waiting = gateway_.Apply(*config);
  if (!waiting) return Fail(waiting.error().message);
  std::vector<std::string> changed;
  for (const config::OptionChange& change : config::Difference(*before, *gateway_.config())) {
    changed.push_back(change.path);
  }
  Succeed(changed, *waiting);
}

void ConfigFollower::Fail(const std::string& error) {
  metrics_.reloads["failed"].Add();
  metrics_.current.Set(0);
  std::istringstream faults(error);
  for (std::string fault; std::getline(faults, fault);) {
    log_.Error("the configuration file was not taken over, the one before stays in force",
               {{"fault", fault}});
  }
  const system::MutexLock lock(mutex_);
  status_.error = error;
}

void ConfigFollower::Succeed(const std::vector<std::string>& changed,
                             const std::vector<std::string>& waiting) {
  const Seconds now = system::UnixNow();
  metrics_.reloads["ok"].Add();
  metrics_.current.Set(1);
  metrics_.taken_over_seconds.Set(now);
  metrics_.awaiting_restart.Set(static_cast<double>(waiting.size()));
  log_.Info("the configuration file was taken over",
            {{"file", file_}, {"changed", changed.empty() ? "nothing" : Joined(changed)}});
  if (!waiting.empty()) {
    log_.Warning("these options of the configuration file need a restart, the rest is in force",
                 {{"options", Joined(waiting)}});
  }
  const system::MutexLock lock(mutex_);
  status_ = {.file = file_, .taken_over = now, .changed = changed, .awaiting_restart = waiting};
}

}  // namespace headrace::gateway
