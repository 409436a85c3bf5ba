#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "admin/admin_server.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "gateway/config_follower.h"
#include "gateway/gateway.h"
#include "system/termination.h"
#include "telemetry/log.h"

namespace headrace::cli {
namespace {

void Serve(const std::string& file) {
  const std::string text = OrStop(ReadConfigFile(file));
  const auto parse = [&file](std::string_view read) { return ParseConfig(read, file); };
  const config::Config config = OrStop(parse(text));
  system::ServerSignals signals;
  telemetry::Log log(gateway::LogLevelOf(config.log.level),
                     config.log.format == config::LogConfig::Format::kJson
                         ? telemetry::LogFormat::kJson
                         : telemetry::LogFormat::kText);
  telemetry::MetricsRegistry registry;
  const auto gateway = OrStop(gateway::Gateway::Start(config, log, registry));
  gateway::ConfigFollower follower(file, text, parse, *gateway, log, registry);
  const auto admin = OrStop(admin::AdminServer::Start(
      config.admin, *gateway, registry, {.config = &follower, .drain = system::Terminate}));
  log.Info("serving", {{"address", gateway->address().ToString()},
                       {"admin", admin->address().ToString()},
                       {"models", config.models.size()}});
  while (signals.Wait() == system::ServerSignals::Signal::kReload) follower.Reload();
  const config::TimeoutsConfig timeouts = gateway->config()->timeouts;
  log.Info("draining; a second signal ends at once",
           {{"delay", timeouts.drain_delay}, {"seconds", timeouts.drain}});
  gateway->BeginDrain();
  std::this_thread::sleep_for(std::chrono::duration<double>(timeouts.drain_delay));
  gateway->Stop();
  log.Info("stopped");
}

}  // namespace

void AddServeCommand(CLI::App& app) {
  auto* command =
      app.add_subcommand("serve", "Run the gateway that a configuration file describes");
  auto file = std::make_shared<std::string>();
  command->add_option("--config,-c", *file, "Configuration file (YAML; docs/configuration.md)")
      ->type_name("FILE")
      ->required();
  command->callback([file] { Serve(*file); });
}

}  // namespace headrace::cli
