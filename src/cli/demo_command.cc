#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "admin/admin_server.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "embedded/demo_profiles.h"
#include "emulator/emulated_engine.h"
#include "gateway/gateway.h"
#include "load/load_generator.h"
#include "load/load_table.h"
#include "routing/policy.h"
#include "system/open_files.h"
#include "system/temporary_folder.h"
#include "system/termination.h"
#include "telemetry/log.h"

namespace headrace::cli {
namespace {

constexpr char kModel[] = "llama2-7b";
// Longer than Llama 2's own 4,096, so that the workload's prompts of over 4,000 tokens fit.
constexpr Tokens kContext = 8192;
constexpr Seconds kTpatTarget = 0.05;
// The workload's own 7 + 4 req/s is more than this fleet can serve; 4/7 of it is not.
constexpr double kRateScale = 4.0 / 7;
// How long requests in flight may continue after the last arrival; the longest responses take
// minutes and then count as misses.
constexpr Seconds kDrain = 60;

struct GpuCount {
  const char* gpu;
  int count;
};
constexpr GpuCount kFleet[] = {{"a10", 1}, {"l20", 4}};

struct Arguments {
  std::string policy = "slo-headroom";
  std::string listen = "127.0.0.1:8080";
  std::string admin = "127.0.0.1:9090";
  double duration = 0;  // Seconds of arrivals; 0 = until interrupted.
  double rate_scale = kRateScale;
  std::uint64_t seed = 1;
};

class Demo {
 public:
  explicit Demo(const Arguments& arguments)
      : arguments_(arguments),
        log_(telemetry::LogLevel::kWarning, telemetry::LogFormat::kText),
        workload_(workload::FindNamedWorkload("chat-and-code")->make()) {
    for (const auto& [file, text] : embedded::k_demo_profiles) {
      profiles_.Write(std::string(file), text);
    }
  }

  void Run() {
    system::RaiseOpenFiles();
    system::Termination termination;
    StartEngines();
    const auto gateway = OrStop(gateway::Gateway::Start(config_, log_, registry_));
    const auto admin = OrStop(admin::AdminServer::Start(config_.admin, *gateway, registry_));
    header_ = Header(gateway->address().ToString(), admin->address().ToString());

    net::IoThreads threads(1);
    load::LoadGenerator load(threads[0], LoadOptionsFor(gateway->address()));
    Print(stdout, header_ + "\n");
    load.Start();
    for (bool draining = false; !load.Done();) {
      const bool told = termination.Wait(1.0);
      const load::LoadSnapshot now = load.Snapshot();
      if (!draining && (told || now.elapsed >= end_)) {
        draining = true;
        end_ = now.elapsed + kDrain;
        load.EndArrivals();
        if (!Live()) Print(stdout, "No more arrivals; requests in flight may finish.\n");
      } else if (draining && (told || now.elapsed >= end_)) {
        break;
      }
      Show(now, draining);
    }
    load.Stop();
    Report(load.Snapshot());
  }

 private:
  static bool Live() { return isatty(STDOUT_FILENO) != 0; }

  void StartEngines() {
    const engine::GpuCatalog catalog = ReadGpuCatalog("");
    config_.listen = arguments_.listen;
    config_.admin = arguments_.admin;
    config_.threads = 2;
    config_.profiles.directory = profiles_.path().string();
    config_.timeouts.drain = 1;
    config::ModelConfig model;
    model.name = kModel;
    model.policy = arguments_.policy;
    model.slo.emplace();
    model.slo->tpat = kTpatTarget;
    std::uint64_t seed = arguments_.seed;
    for (const GpuCount& fleet : kFleet) {
      config::DeploymentConfig deployment;
      deployment.name = std::string(kModel) + "-" + fleet.gpu;
      for (int i = 0; i < fleet.count; ++i) {
        auto engine = OrStop(emulator::EmulatedEngine::Start(
            {.model = kModel,
             .engine = OrStop(catalog.Engine(fleet.gpu, kModel, kContext)),
             .seed = seed++,
             .listen = OrStop(system::Resolve({"127.0.0.1", 0}))}));
        deployment.endpoints.push_back(engine->address().ToString());
        engines_.push_back(std::move(engine));
      }
      model.deployments.push_back(deployment);
    }
    config_.models.push_back(model);
  }

  load::LoadOptions LoadOptionsFor(const system::SocketAddress& gateway) {
    for (workload::WorkloadClass& spec : workload_.classes) spec.slo = config_.models[0].slo;
    load::LoadOptions options;
    options.target = completion::EndpointAt(gateway);
    options.model = kModel;
    options.workload = &workload_;
    options.seed = arguments_.seed;
    options.rate_scale = arguments_.rate_scale;
    options.duration = arguments_.duration > 0 ? arguments_.duration : kNever;
    end_ = options.duration;
    options.timeout = kNever;
    return options;
  }

  std::string Header(const std::string& address, const std::string& admin) const {
    std::string rates;
    for (const workload::WorkloadClass& spec : workload_.classes) {
      rates += (rates.empty() ? "" : ", ") + spec.name + " " +
               FormatFixed(workload::OfferedRate(spec) * arguments_.rate_scale, 1) + "/s";
    }
    return "Headrace: policy " + arguments_.policy + " before 1 x A10 and 4 x L20 (emulated), " +
           rates + "; SLO: 50 ms per token of prompt and response (TPAT)\n\n  http://" + address +
           "   metrics and status: http://" + admin + "/status\n  curl http://" + address +
           "/v1/chat/completions -H 'content-type: application/json' \\\n    -d '{\"model\": "
           "\"llama2-7b\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], "
           "\"stream\": true}'\n";
  }

  // On a terminal, the table in place every second; otherwise nothing until the report.
  void Show(const load::LoadSnapshot& snapshot, bool draining) {
    if (Live()) {
      Print(stdout, "\x1b[H\x1b[J" + header_ + "\n" + Tables(snapshot) +
                        FormatFixed(snapshot.elapsed, 0) + " s" + (draining ? ", draining" : "") +
                        ". Ctrl-C drains and prints the report.\n");
    }
    std::fflush(stdout);
  }

  void Report(const load::LoadSnapshot& final) const {
    workload::ClassReport all;
    for (const load::LoadCounts& counts : final.classes) all.Merge(counts.report);
    Print(stdout, "\nReport: policy " + arguments_.policy + ", seed " +
                      std::to_string(arguments_.seed) + ", " + FormatFixed(final.elapsed, 0) +
                      " s, with emulated engines (data/gpus.json)\n\n" + Tables(final) +
                      "SLO met by " + FormatPercent(all.Attainment()) + " % of the " +
                      std::to_string(all.offered) +
                      " requests offered (refused, failed and unfinished ones are misses).\n");
  }

  std::string Tables(const load::LoadSnapshot& snapshot) const {
    std::vector<std::string> names;
    for (const workload::WorkloadClass& spec : workload_.classes) names.push_back(spec.name);
    return load::LoadTable(names, snapshot) + "\n" + load::FailureLines(snapshot);
  }

  Arguments arguments_;
  telemetry::Log log_;
  telemetry::MetricsRegistry registry_;
  system::TemporaryFolder profiles_;  // The built-in ones.
  workload::Workload workload_;
  config::Config config_;
  std::vector<std::unique_ptr<emulator::EmulatedEngine>> engines_;
  std::string header_;
  Seconds end_ = kNever;  // Of arrivals, then of the drain.
};

}  // namespace

void AddDemoCommand(CLI::App& app) {
  auto* command =
      app.add_subcommand("demo", "Emulated GPUs, the gateway and a mixed workload in one process");
  auto arguments = std::make_shared<Arguments>();
  std::vector<std::string> policies;
  for (const routing::PolicyInfo& policy : routing::Policies()) policies.emplace_back(policy.name);
  command->add_option("--policy", arguments->policy, "Routing policy")
      ->check(CLI::IsMember(policies))
      ->capture_default_str();
  command
      ->add_option("--duration", arguments->duration,
                   "How long requests arrive, e.g. 60s; default: until Ctrl-C")
      ->transform(InSeconds(limits::kDuration))
      ->type_name("TIME");
  command
      ->add_option("--rate-scale", arguments->rate_scale,
                   "Factor on 7 chat and 4 code requests per second")
      ->check(Within(limits::kRate))
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "Seed of arrivals and lengths")
      ->capture_default_str();
  command->add_option("--listen", arguments->listen, "Address of the gateway")
      ->capture_default_str();
  command->add_option("--admin", arguments->admin, "Address of the metrics and status pages")
      ->capture_default_str();
  command->callback([arguments] { Demo(*arguments).Run(); });
}

}  // namespace headrace::cli
