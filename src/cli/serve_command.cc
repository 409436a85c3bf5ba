#include <memory>
#include <string>

#include "admin/admin_server.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "gateway/gateway.h"
#include "system/termination.h"
#include "telemetry/log.h"

namespace headrace::cli {
namespace {

void Serve(const std::string& file) {
  const config::Config config = OrStop(LoadConfigFile(file));
  system::Termination termination;
  telemetry::Log log(gateway::LogLevelOf(config.log.level),
                     config.log.format == config::LogConfig::Format::kJson
                         ? telemetry::LogFormat::kJson
                         : telemetry::LogFormat::kText);
  telemetry::MetricsRegistry registry;
  const auto gateway = OrStop(gateway::Gateway::Start(config, log, registry));
  const auto admin = OrStop(admin::AdminServer::Start(config.admin, *gateway, registry));
  log.Info("serving", {{"address", gateway->address().ToString()},
                       {"admin", admin->address().ToString()},
                       {"models", config.models.size()}});
  termination.Wait();
  log.Info("draining; a second signal ends at once", {{"seconds", config.timeouts.drain}});
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
