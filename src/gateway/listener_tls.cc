#include "gateway/listener_tls.h"

#include <utility>
#include <vector>

#include "system/files.h"

namespace headrace::gateway {
namespace {

constexpr std::size_t kLargestPem = std::size_t{1} << 20;

Result<net::TlsContext::Options> Read(const config::ListenerConfig& config) {
  net::TlsContext::Options options;
  HEADRACE_ASSIGN(options.certificate, system::ReadSmallFile(config.certificate, kLargestPem));
  HEADRACE_ASSIGN(options.key, system::ReadSmallFile(config.key, kLargestPem));
  if (!config.client_ca.empty()) {
    HEADRACE_ASSIGN(options.ca, system::ReadSmallFile(config.client_ca, kLargestPem));
  }
  return options;
}

Result<std::shared_ptr<const net::TlsContext>> Make(const std::string& name,
                                                    const config::ListenerConfig& config,
                                                    const net::TlsContext::Options& options) {
  auto context = net::TlsContext::ForServer(options);
  if (context) return context;
  return Fail(name + " (" + config.certificate + " and " + config.key + ") " +
              context.error().message);
}

}  // namespace

Result<std::shared_ptr<ListenerTls>> ListenerTls::Load(const std::string& name,
                                                       const config::ListenerConfig& config,
                                                       telemetry::StandingFaults& faults,
                                                       telemetry::MetricsRegistry& registry) {
  if (!config.tls()) return nullptr;
  HEADRACE_ASSIGN(const auto options, Read(config));
  HEADRACE_ASSIGN(const auto context, Make(name, config, options));
  return std::shared_ptr<ListenerTls>(
      new ListenerTls(name, config, options, context, faults, registry));
}

ListenerTls::ListenerTls(const std::string& name, const config::ListenerConfig& config,
                         net::TlsContext::Options options,
                         std::shared_ptr<const net::TlsContext> context,
                         telemetry::StandingFaults& faults, telemetry::MetricsRegistry& registry)
    : name_(name),
      config_(config),
      faults_(faults),
      metrics_(registry, name, {net::TlsServer::kFaults.begin(), net::TlsServer::kFaults.end()}),
      files_(std::move(options)) {
  metrics_.ends.Set(context->ends());
  server_ = std::make_shared<net::TlsServer>(
      std::move(context), [this](std::string_view why) { metrics_.failed[why].Add(); });
}

void ListenerTls::Refresh(Seconds now) {
  const system::MutexLock lock(mutex_);
  const auto options = Read(config_);
  if (!files_.IsNew(options)) return;
  files_.Set(options);
  const auto context = options.and_then(
      [this](const net::TlsContext::Options& read) { return Make(name_, config_, read); });
  const std::string cause = "certificate of " + name_;
  if (!context) {
    fault_ = context.error().message;
    faults_.Raise(telemetry::LogLevel::kError, cause, "the certificate stays as it was: " + fault_,
                  now);
    return;
  }
  fault_.clear();
  server_->Exchange(*context);
  metrics_.ends.Set((*context)->ends());
  faults_.Clear(cause, name_ + ": the certificate's files are in order again", now);
}

FollowedStatus ListenerTls::status() const {
  const system::MutexLock lock(mutex_);
  return {.option = name_ + ".certificate",
          .file = config_.certificate,
          .ends = server_->context()->ends(),
          .fault = fault_};
}

Result<void> CheckListeners(const config::Config& config) {
  const std::pair<const char*, const config::ListenerConfig*> listeners[] = {
      {"listen", &config.listen}, {"admin", &config.admin}};
  for (const auto& [name, listener] : listeners) {
    if (!listener->tls()) continue;
    HEADRACE_ASSIGN(const auto options, Read(*listener));
    HEADRACE_TRY(Make(name, *listener, options));
  }
  return {};
}

}  // namespace headrace::gateway
