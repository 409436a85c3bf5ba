#include "cli/demo_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "admin/admin_server.h"
#include "cli/console.h"
#include "embedded/demo_profiles.h"
#include "emulator/emulated_engine.h"
#include "engine/gpu_catalog.h"
#include "gateway/gateway.h"
#include "load/load_generator.h"
#include "load/load_table.h"
#include "routing/policy.h"
#include "system/termination.h"
#include "telemetry/log.h"

namespace headrace::cli {
namespace {

constexpr char kModel[] = "llama2-7b";
// Longer than Llama 2's own 4,096, so that the workload's prompts of over 4,000 tokens fit.
constexpr Tokens kContext = 8192;
constexpr Seconds kTpatGoal = 0.05;
// The workload's own 7 + 4 req/s is more than this fleet can carry; at 4/7 of it, it can.
constexpr double kRateScale = 4.0 / 7;
// How long requests in flight may go on after the last arrival; the longest answers take minutes
// and count as misses then.
constexpr Seconds kDrain = 60;

struct GpuCount {
  const char* gpu;
  int count;
};
constexpr GpuCount kFleet[] = {{"a10", 1}, {"l20", 4}};

struct Arguments {
  std::string policy = "slo";
  std::string listen = "127.0.0.1:8080";
  std::string admin = "127.0.0.1:9090";
  double duration = 0;  // Seconds of arrivals; 0 = until interrupted.
  double rate_scale = kRateScale;
  std::uint64_t seed = 1;
};

// The profiles that come with the program, in a folder that goes away with it.
class ProfileFolder {
 public:
  ProfileFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "headrace-demo-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
    for (const auto& [file, text] : embedded::k_demo_profiles) {
      std::ofstream(path_ / std::string(file)) << text;
    }
  }
  ~ProfileFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ProfileFolder(const ProfileFolder&) = delete;
  ProfileFolder& operator=(const ProfileFolder&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

class Demo {
 public:
  explicit Demo(const Arguments& arguments)
      : arguments_(arguments),
        log_(telemetry::LogLevel::kWarning, telemetry::LogFormat::kText),
        workload_(workload::FindNamedWorkload("chat-and-code")->make()) {}

  Result<void> Run() {
    system::Termination termination;
    if (auto started = StartEngines(); !started) return started;
    auto gateway = gateway::Gateway::Start(config_, log_, registry_);
    if (!gateway) return tl::unexpected(gateway.error());
    auto admin = admin::AdminServer::Start(config_.admin, **gateway, registry_);
    if (!admin) return tl::unexpected(admin.error());
    header_ = Header((*gateway)->address().ToString(), (*admin)->address().ToString());

    net::IoThreads threads(1);
    load::LoadGenerator load(threads[0], LoadOptionsFor((*gateway)->address()));
    std::printf("%s\n", header_.c_str());
    load.Start();
    for (bool draining = false; !load.Done();) {
      const bool told = termination.Wait(1.0);
      const load::LoadSnapshot now = load.Snapshot();
      if (!draining && (told || now.elapsed >= end_)) {
        draining = true;
        end_ = now.elapsed + kDrain;
        load.EndArrivals();
        if (!Live()) std::printf("No more arrivals; what is in flight may finish.\n");
      } else if (draining && (told || now.elapsed >= end_)) {
        break;
      }
      Show(now, draining);
    }
    load.Stop();
    Report(load.Snapshot());
    return {};
  }

 private:
  static bool Live() { return isatty(STDOUT_FILENO) != 0; }

  Result<void> StartEngines() {
    const auto catalog = engine::GpuCatalog::Parse(engine::ShippedGpuCatalog(), "gpus.json");
    if (!catalog) return tl::unexpected(catalog.error());
    config_.listen = arguments_.listen;
    config_.admin = arguments_.admin;
    config_.threads = 2;
    config_.profiles.directory = folder_.path();
    config_.timeouts.drain = 1;
    config::ModelConfig model;
    model.name = kModel;
    model.policy = arguments_.policy;
    model.slo.emplace();
    model.slo->tpat = kTpatGoal;
    std::uint64_t seed = arguments_.seed;
    for (const GpuCount& fleet : kFleet) {
      config::DeploymentConfig deployment;
      deployment.name = std::string(kModel) + "-" + fleet.gpu;
      for (int i = 0; i < fleet.count; ++i) {
        const auto engine = catalog->Engine(fleet.gpu, kModel, kContext);
        if (!engine) return tl::unexpected(engine.error());
        auto listen = system::Resolve({"127.0.0.1", 0});
        auto started = emulator::EmulatedEngine::Start(
            {.model = kModel, .engine = *engine, .seed = seed++, .listen = *listen});
        if (!started) return tl::unexpected(started.error());
        deployment.endpoints.push_back((*started)->address().ToString());
        engines_.push_back(std::move(*started));
      }
      model.deployments.push_back(deployment);
    }
    config_.models.push_back(model);
    return {};
  }

  load::LoadOptions LoadOptionsFor(const system::SocketAddress& gateway) {
    for (workload::WorkloadClass& spec : workload_.classes) spec.slo = config_.models[0].slo;
    load::LoadOptions options;
    options.target = gateway;
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
      char text[64];
      std::snprintf(text, sizeof text, "%s%s %.1f/s", rates.empty() ? "" : ", ", spec.name.c_str(),
                    workload::OfferedRate(spec) * arguments_.rate_scale);
      rates += text;
    }
    return "Headrace: policy " + arguments_.policy + " before 1 x A10 and 4 x L20 (emulated), " +
           rates + "; promised: 50 ms per token, prompt and answer (TPAT)\n\n  http://" + address +
           "   metrics and status: http://" + admin + "/status\n  curl http://" + address +
           "/v1/chat/completions -H 'content-type: application/json' \\\n    -d '{\"model\": "
           "\"llama2-7b\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], "
           "\"stream\": true}'\n";
  }

  std::vector<std::string> ClassNames() const {
    std::vector<std::string> names;
    for (const workload::WorkloadClass& spec : workload_.classes) names.push_back(spec.name);
    return names;
  }

  // On a terminal, the table in place every second; otherwise a line every ten.
  void Show(const load::LoadSnapshot& snapshot, bool draining) {
    if (Live()) {
      std::printf("\x1b[H\x1b[J%s\n%s\n%s%.0f s%s. Ctrl-C drains and prints the report.\n",
                  header_.c_str(), load::LoadTable(ClassNames(), snapshot).c_str(),
                  load::FailureLines(snapshot).c_str(), snapshot.elapsed,
                  draining ? ", draining" : "");
      std::fflush(stdout);
      return;
    }
    if (snapshot.elapsed < next_line_) return;
    next_line_ = snapshot.elapsed + 10;
    workload::ClassReport all;
    for (const load::LoadCounts& counts : snapshot.classes) all.Merge(counts.report);
    std::printf(
        "%4.0f s: %llu offered, %llu ended, %llu met the SLO\n", snapshot.elapsed,
        static_cast<unsigned long long>(all.offered),
        static_cast<unsigned long long>(all.completed + all.refused + all.timed_out + all.failed),
        static_cast<unsigned long long>(all.attained));
    std::fflush(stdout);
  }

  void Report(const load::LoadSnapshot& final) const {
    workload::ClassReport all;
    for (const load::LoadCounts& counts : final.classes) all.Merge(counts.report);
    std::printf(
        "\nReport: policy %s, seed %llu, %.0f s, engines' timing modelled (data/gpus.json)\n\n"
        "%s\n%sSLO met by %.1f %% of the %llu requests offered (refused, failed and unfinished "
        "ones "
        "are misses).\n",
        arguments_.policy.c_str(), static_cast<unsigned long long>(arguments_.seed), final.elapsed,
        load::LoadTable(ClassNames(), final).c_str(), load::FailureLines(final).c_str(),
        100 * all.Attainment(), static_cast<unsigned long long>(all.offered));
  }

  Arguments arguments_;
  telemetry::Log log_;
  telemetry::MetricsRegistry registry_;
  ProfileFolder folder_;
  workload::Workload workload_;
  config::Config config_;
  std::vector<std::unique_ptr<emulator::EmulatedEngine>> engines_;
  std::string header_;
  Seconds next_line_ = 10;
  Seconds end_ = kNever;  // Of arrivals, then of the drain.
};

}  // namespace

void AddDemoCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "demo", "Emulated GPUs, the gateway and a mixed workload in one process: see it work");
  auto arguments = std::make_shared<Arguments>();
  std::vector<std::string> policies;
  for (const routing::PolicyInfo& policy : routing::Policies()) policies.emplace_back(policy.name);
  command->add_option("--policy", arguments->policy, "Routing policy")
      ->check(CLI::IsMember(policies))
      ->capture_default_str();
  command
      ->add_option("--duration", arguments->duration,
                   "Arrivals end after this time, e.g. 60s; without it, at Ctrl-C")
      ->transform(InSeconds());
  command
      ->add_option("--rate-scale", arguments->rate_scale, "Of 7 chats and 4 code requests a second")
      ->check(AboveZero())
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "Of arrivals and lengths")->capture_default_str();
  command->add_option("--listen", arguments->listen, "Address of the gateway")
      ->capture_default_str();
  command->add_option("--admin", arguments->admin, "Address of its metrics and status")
      ->capture_default_str();
  command->callback([arguments] {
    Demo demo(*arguments);
    if (const auto ran = demo.Run(); !ran) {
      std::fprintf(stderr, "headrace demo: %s\n", ran.error().message.c_str());
      throw CLI::RuntimeError(1);
    }
  });
}

}  // namespace headrace::cli
