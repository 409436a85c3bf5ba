#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "admin/admin_server.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "extproc/picker_server.h"
#include "gateway/config_follower.h"
#include "gateway/gateway.h"
#include "system/open_files.h"
#include "system/termination.h"
#include "telemetry/log.h"

namespace headrace::cli {
namespace {

// As many clients as may have a connection to an engine, too, with the files that the process may
// open; some of these are for health checks, the admin address and logs.
int MostConnections() {
  constexpr std::size_t kMostReserved = 1500;
  constexpr std::size_t kEnough = 1'000'000;
  const std::size_t files = system::MostOpenFiles();
  const std::size_t most = (files - std::min(files / 4, kMostReserved)) / 2;
  return static_cast<int>(std::clamp<std::size_t>(most, 1, kEnough));
}

// `extproc`: where the endpoint picker listens, whatever the file says; "": as it says.
void Serve(const std::string& file, const std::string& extproc) {
  const std::string text = OrStop(ReadConfigFile(file));
  const auto parse = [&](std::string_view read) -> Result<config::Config> {
    HEADRACE_ASSIGN(config::Config config, ParseConfig(read, file));
    if (!extproc.empty()) config.extproc.listen = extproc;
    config.limits.connections = std::min(config.limits.connections, MostConnections());
    return config;
  };
  system::RaiseOpenFiles();
  const config::Config config = OrStop(parse(text));
  extproc::WaitForOwnSockets();
  system::ServerSignals signals;
  telemetry::Log log(gateway::LogLevelOf(config.log.level),
                     config.log.format == config::LogConfig::Format::kJson
                         ? telemetry::LogFormat::kJson
                         : telemetry::LogFormat::kText);
  if (config.limits.connections == MostConnections()) {
    log.Info(
        "fewer clients than limits.connections may be served at a time, as the process may "
        "open so few files; raise that (ulimit -Hn, LimitNOFILE of systemd)",
        {{"connections", config.limits.connections}, {"files", system::MostOpenFiles()}});
  }
  telemetry::MetricsRegistry registry;
  std::unique_ptr<extproc::PickerServer> picker;  // Outlives what may still decide for it.
  const auto gateway = OrStop(gateway::Gateway::Start(config, log, registry));
  gateway::ConfigFollower follower(file, text, parse, *gateway, log, registry);
  const auto admin = OrStop(admin::AdminServer::Start(
      config.admin, *gateway, registry, {.config = &follower, .drain = system::Terminate}));
  if (config.extproc.listen != "none") {
    picker = OrStop(extproc::PickerServer::Start([&gateway] { return gateway->config(); },
                                                 gateway->serving(),
                                                 [&gateway] { return gateway->Ready(); }, log));
    log.Info("picking endpoints for Envoy", {{"extproc", config.extproc.listen},
                                             {"health", config.extproc.health},
                                             {"tls", config.extproc.tls}});
  }
  log.Info("serving", {{"address", gateway->address().ToString()},
                       {"admin", admin->address().ToString()},
                       {"models", config.models.size()}});
  while (signals.Wait() == system::ServerSignals::Signal::kReload) follower.Reload();
  const config::TimeoutsConfig timeouts = gateway->config()->timeouts;
  log.Info("draining; a second signal ends at once",
           {{"delay", timeouts.drain_delay}, {"seconds", timeouts.drain}});
  gateway->BeginDrain();
  if (picker) picker->BeginDrain();
  std::this_thread::sleep_for(std::chrono::duration<double>(timeouts.drain_delay));
  if (picker) picker->Stop(timeouts.drain);
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
  auto extproc = std::make_shared<std::string>();
  command
      ->add_option("--extproc", *extproc,
                   "Where to pick endpoints for Envoy, as `extproc: { listen: ADDRESS }` says")
      ->type_name("ADDRESS");
  command->callback([file, extproc] { Serve(*file, *extproc); });
}

}  // namespace headrace::cli
