#include "extproc/picker_server.h"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "extproc/certificate.h"
#include "extproc/completion_thread.h"
#include "extproc/health_service.h"
#include "extproc/process_stream.h"
#include "system/address.h"
#include "system/files.h"
#include "system/threads.h"

namespace headrace::extproc {
namespace {

// Streams that wait for Envoy, per thread: as many may begin between two looks at the queue.
constexpr int kWaitingStreams = 64;
// How often the configuration is looked at.
constexpr Seconds kLookInterval = 0.5;
// How often the files of a certificate are read again.
constexpr unsigned int kCertificateInterval = 1;
// Of one message: a body that Envoy has buffered comes in one.
constexpr int kMostMessageBytes = 1 << 30;
// What may be on its way to us of one stream before it has been read.
constexpr int kWindowBytes = 4 << 20;
constexpr int kLeastPingInterval = 5000;  // Milliseconds.

constexpr char kLiveness[] = "liveness";
// By these names, and by none, probes ask whether requests should come here.
constexpr std::string_view kReadiness[] = {
    "", "readiness", "envoy.service.ext_proc.v3.ExternalProcessor", "inference-extension"};

using Credentials = std::shared_ptr<grpc::ServerCredentials>;
namespace tls = grpc::experimental;

Result<Credentials> CredentialsOf(const config::ExtProcConfig& config) {
  if (!config.tls) return grpc::InsecureServerCredentials();
  std::shared_ptr<tls::CertificateProviderInterface> provider;
  if (config.certificate.empty()) {
    HEADRACE_ASSIGN(const KeyPair pair, SelfSigned());
    provider = std::make_shared<tls::StaticDataCertificateProvider>(
        std::vector<tls::IdentityKeyCertPair>{{pair.key, pair.certificate}});
  } else {
    KeyPair pair;
    HEADRACE_ASSIGN(pair.certificate, system::ReadFile(config.certificate));
    HEADRACE_ASSIGN(pair.key, system::ReadFile(config.key));
    if (const auto good = CheckKeyPair(pair); !good) {
      return Fail("extproc: the pair of " + config.certificate + " and " + config.key + " " +
                  good.error().message + ".");
    }
    provider = std::make_shared<tls::FileWatcherCertificateProvider>(config.key, config.certificate,
                                                                     kCertificateInterval);
  }
  tls::TlsServerCredentialsOptions options(std::move(provider));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  return tls::TlsServerCredentials(options);
}

// The system's form of `:9002`.
Result<std::string> ListenAddress(const std::string& text) {
  HEADRACE_ASSIGN(const auto address, system::ParseHostPort(text));
  return address.ToString();
}

// What gRPC has to say to standard error, but for what clients do wrong (to speak no TLS) and what
// Start itself says.
void SayFaults(gpr_log_func_args* line) {
  const std::string_view file = line->file;
  const auto from = [file](std::string_view part) { return file.find(part) != file.npos; };
  if (from("ssl_transport_security") || from("chttp2_server") || from("completion_queue_cc"))
    return;
  std::fprintf(stderr, "gRPC: %s\n", line->message);
}

}  // namespace

struct PickerServer::Parts {
  // One thread, and what its requests share.
  struct Worker {
    Worker(std::unique_ptr<grpc::ServerCompletionQueue> queue)
        : thread(std::move(queue)), state(thread) {}
    CompletionThread thread;
    PickerThread state;
    std::shared_ptr<const config::Config> config;  // That it goes by.
    std::unique_ptr<serving::Alarm> look;
  };

  Parts(ConfigInForce config, const serving::ServingContext& serving,
        std::function<bool()> ready_now, const telemetry::Log& log)
      : config_in_force(std::move(config)),
        ready(std::move(ready_now)),
        faults(log),
        context{.serving = serving, .faults = faults} {}

  Result<void> Listen();
  void Begin(Worker& worker);
  void Look(Worker& worker);
  std::optional<bool> Serves(std::string_view service) const;

  const ConfigInForce config_in_force;
  const std::function<bool()> ready;
  telemetry::StandingFaults faults;
  PickerContext context;
  ProcessService service;
  std::vector<std::unique_ptr<Worker>> workers;
  std::unique_ptr<grpc::Server> server;
  // Null: only the main port answers health checks.
  std::unique_ptr<CompletionThread> health_thread;
  std::unique_ptr<grpc::Server> health;
  HealthService::Serves serves = [this](std::string_view name) { return Serves(name); };
  HealthService checks{serves};         // On the main port, by the first worker.
  HealthService health_checks{serves};  // On the other one.
  int port = 0;
  int health_port = 0;
  std::atomic<bool> draining = false;
  std::atomic<bool> stopped = false;
};

Result<void> PickerServer::Parts::Listen() {
  const std::shared_ptr<const config::Config> config = config_in_force();
  HEADRACE_ASSIGN(const Credentials credentials, CredentialsOf(config->extproc));
  HEADRACE_ASSIGN(const std::string address, ListenAddress(config->extproc.listen));
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function(SayFaults);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, credentials, &port);
  builder.RegisterService(&service);
  builder.RegisterService(&checks.service());
  builder.SetMaxReceiveMessageSize(kMostMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kLeastPingInterval);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  for (int i = 0; i < system::ThreadCount(config->threads); ++i) {
    workers.push_back(std::make_unique<Worker>(builder.AddCompletionQueue()));
  }
  server = builder.BuildAndStart();
  if (server == nullptr) {
    return Fail("extproc: cannot listen on " + config->extproc.listen +
                "; another process has it, or the address is not this machine's: give "
                "extproc.listen another one.");
  }
  if (config->extproc.health != "none") {
    HEADRACE_ASSIGN(const std::string health_address, ListenAddress(config->extproc.health));
    grpc::ServerBuilder health_builder;
    health_builder.AddListeningPort(health_address, grpc::InsecureServerCredentials(),
                                    &health_port);
    health_builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    health_builder.RegisterService(&health_checks.service());
    health_thread = std::make_unique<CompletionThread>(health_builder.AddCompletionQueue());
    health = health_builder.BuildAndStart();
    if (health == nullptr) {
      return Fail("extproc: cannot listen on " + config->extproc.health +
                  " for health checks; give extproc.health another port, or `none`.");
    }
  }
  if (health_thread != nullptr) {
    health_checks.Begin(*health_thread);
    health_thread->Start();
  }
  checks.Begin(workers.front()->thread);
  for (const auto& worker : workers) Begin(*worker);
  return {};
}

// Before its thread runs.
void PickerServer::Parts::Begin(Worker& worker) {
  worker.look = worker.thread.MakeAlarm([this, &worker] { Look(worker); });
  Look(worker);
  for (int i = 0; i < kWaitingStreams; ++i) {
    ProcessStream::Await(service, context, worker.state, worker.thread);
  }
  worker.thread.Start();
}

void PickerServer::Parts::Look(Worker& worker) {
  if (auto config = config_in_force(); config != worker.config) {
    worker.state.SetConfig(*config);
    worker.config = std::move(config);
  }
  worker.look->Set(worker.thread.Now() + kLookInterval);
}

std::optional<bool> PickerServer::Parts::Serves(std::string_view service) const {
  if (service == kLiveness) return true;
  if (std::ranges::find(kReadiness, service) == std::end(kReadiness)) return std::nullopt;
  return !draining && ready();
}

void WaitForOwnSockets() { setenv("GRPC_POLL_STRATEGY", "poll", 0); }

Result<std::unique_ptr<PickerServer>> PickerServer::Start(ConfigInForce config,
                                                          const serving::ServingContext& context,
                                                          std::function<bool()> ready,
                                                          const telemetry::Log& log) {
  auto parts = std::make_unique<Parts>(std::move(config), context, std::move(ready), log);
  std::unique_ptr<PickerServer> server(new PickerServer(std::move(parts)));
  HEADRACE_TRY(server->parts_->Listen());
  return server;
}

PickerServer::PickerServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

PickerServer::~PickerServer() { Stop(0); }

void PickerServer::BeginDrain() {
  parts_->draining = true;
  parts_->checks.Refresh();
  parts_->health_checks.Refresh();
}

void PickerServer::Stop(Seconds patience) {
  parts_->draining = true;
  if (parts_->stopped.exchange(true)) return;
  const auto until = std::chrono::system_clock::now() +
                     std::chrono::milliseconds(static_cast<std::int64_t>(patience * 1e3));
  parts_->checks.End();
  if (parts_->server != nullptr) parts_->server->Shutdown(until);
  parts_->health_checks.End();
  if (parts_->health != nullptr) parts_->health->Shutdown(std::chrono::system_clock::now());
  for (const auto& worker : parts_->workers) worker->thread.Stop();
  if (parts_->health_thread != nullptr) parts_->health_thread->Stop();
}

int PickerServer::port() const { return parts_->port; }
int PickerServer::health_port() const { return parts_->health_port; }

}  // namespace headrace::extproc
