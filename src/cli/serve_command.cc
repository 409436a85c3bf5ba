#include "cli/serve_command.h"

#include <cstdio>
#include <string>

#include "admin/admin_server.h"
#include "cli/config_command.h"
#include "cli/termination.h"
#include "gateway/gateway.h"
#include "telemetry/log.h"

namespace headrace {
namespace {

LogLevel LevelOf(LogConfig::Level level) {
  switch (level) {
    case LogConfig::Level::kDebug:
      return LogLevel::kDebug;
    case LogConfig::Level::kInfo:
      return LogLevel::kInfo;
    case LogConfig::Level::kWarning:
      return LogLevel::kWarning;
    case LogConfig::Level::kError:
      return LogLevel::kError;
  }
  return LogLevel::kInfo;
}

Result<void> Serve(const std::string& file) {
  const auto config = LoadConfigFile(file);
  if (!config) return tl::unexpected(config.error());

  Termination termination;
  const Log log(LevelOf(config->log.level), config->log.format == LogConfig::Format::kJson
                                                ? LogFormat::kJson
                                                : LogFormat::kText);
  MetricsRegistry registry;
  auto gateway = Gateway::Start(*config, log, registry);
  if (!gateway) return tl::unexpected(gateway.error());
  auto admin = AdminServer::Start(config->admin, **gateway, registry);
  if (!admin) return tl::unexpected(admin.error());
  log.Info("serving", {{"address", (*gateway)->address().ToString()},
                       {"admin", (*admin)->address().ToString()},
                       {"models", config->models.size()}});
  termination.Wait();
  log.Info("draining; a second signal ends at once", {{"seconds", config->timeouts.drain}});
  (*gateway)->Stop();
  log.Info("stopped");
  return {};
}

}  // namespace

void AddServeCommand(CLI::App& app) {
  auto* command =
      app.add_subcommand("serve", "Run the gateway that a configuration file describes");
  auto file = std::make_shared<std::string>();
  command->add_option("--config,-c", *file, "Configuration file (YAML; docs/configuration.md)")
      ->required();
  command->callback([file] {
    if (const auto served = Serve(*file); !served) {
      std::fprintf(stderr, "%s\n", served.error().message.c_str());
      throw CLI::RuntimeError(1);
    }
  });
}

}  // namespace headrace
