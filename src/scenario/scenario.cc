#include "scenario/scenario.h"

#include <algorithm>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "benchmark/measured_profile.h"
#include "config/config_reader.h"
#include "engine/gpu_catalog.h"
#include "profile/gpu_profile.h"
#include "scenario/class_groups.h"
#include "scenario/scenario_text.h"

namespace headrace::scenario {
namespace {

constexpr std::string_view kOnlyPrefix = "only-";

std::vector<std::string> PolicyNames(const Scenario& scenario) {
  std::vector<std::string> names;
  for (const routing::PolicyInfo& policy : routing::Policies()) names.emplace_back(policy.name);
  for (const std::string_view name : {"best-split", "type-split", "clairvoyant"}) {
    names.emplace_back(name);
  }
  for (const sim::SimDeployment& deployment : scenario.fleet) {
    names.push_back(std::string(kOnlyPrefix) + deployment.name);
  }
  for (const Policy& variant : scenario.policies) names.push_back(variant.name);
  return names;
}

// `text`: FleetText or RealEngineText.
void Apply(const auto& text, engine::EngineConfig& engine) {
  engine.step = engine.step.SlowedBy(text.slowdown);
  if (text.max_num_seqs) engine.max_num_seqs = *text.max_num_seqs;
  if (text.max_num_batched_tokens) engine.max_num_batched_tokens = *text.max_num_batched_tokens;
  engine.kv_blocks =
      static_cast<std::int64_t>(static_cast<double>(engine.kv_blocks) * text.kv_share);
}

// Looks up what a scenario names. Faults go to the reader, at the line of the option.
class Resolver {
 public:
  Resolver(const ScenarioText& text, const config::YamlNode& root, const std::string& file_name,
           const FileReader& read_file, config::ConfigReader& reader)
      : text_(text),
        root_(root),
        folder_(std::filesystem::path(file_name).parent_path()),
        read_file_(read_file),
        reader_(reader) {}

  Scenario Resolve() {
    scenario_.name = text_.name;
    scenario_.about = text_.about;
    scenario_.model = text_.model;
    scenario_.warm_up = text_.warm_up;
    scenario_.duration = text_.duration;
    scenario_.drain = text_.drain;
    scenario_.state_lag = text_.state_lag;
    scenario_.replicas = text_.replicas.count;
    scenario_.replica_lag = text_.replicas.lag;
    scenario_.seeds = text_.seeds;
    if (!text_.rates.empty()) scenario_.rates = text_.rates;
    scenario_.scheduler.slo = text_.slo;
    scenario_.scheduler.queue_timeout = text_.queue_timeout;
    scenario_.scheduler.max_queue_length = text_.queue_length;
    for (std::size_t i = 0; i < text_.workload.size(); ++i) AddClass(i);
    for (std::size_t i = 0; i < text_.tenants.size(); ++i) AddTenant(i);
    ReadGpus();
    profiled_.resize(text_.fleet.size());
    for (std::size_t i = 0; i < text_.fleet.size(); ++i) AddDeployment(i);
    for (std::size_t i = 0; i < text_.faults.size(); ++i) AddEndpointFault(i);
    AddPolicies();
    if (reader_.faults() == 0) AddProfiles();
    scenario_.warnings = reader_.Warnings();
    return std::move(scenario_);
  }

 private:
  const config::YamlNode& Item(const char* list, std::size_t index) const {
    return *root_.Find(list)->items[index];
  }
  void Fault(const char* list, std::size_t index, const char* option, std::string sentence) {
    reader_.Fault(config::LineOf(Item(list, index), option), std::move(sentence));
  }
  void Warn(const char* list, std::size_t index, const char* option, std::string sentence) {
    reader_.Warn(config::LineOf(Item(list, index), option), std::move(sentence));
  }
  std::string PathOf(const std::string& path) const {
    return (folder_ / path).lexically_normal().string();
  }

  void AddClass(std::size_t index);
  bool SetArrivals(std::size_t index, workload::WorkloadClass& spec);
  bool SetLengths(std::size_t index, workload::WorkloadClass& spec);
  void AddTenant(std::size_t index);
  void ReadGpus();
  void AddDeployment(std::size_t index);
  void AddProfiles();
  void MixUpProfiles();
  Result<profile::GpuProfile> ProfileOf(std::size_t index,
                                        const std::optional<slo::Slo>& slo) const;
  std::optional<slo::Slo> ProfileSlo() const;
  void AddEndpointFault(std::size_t index);
  void AddPolicies();

  const ScenarioText& text_;
  const config::YamlNode& root_;
  std::filesystem::path folder_;
  const FileReader& read_file_;
  config::ConfigReader& reader_;
  Scenario scenario_;
  std::optional<engine::GpuCatalog> gpus_;      // nullopt: it has a fault.
  std::vector<engine::EngineConfig> profiled_;  // By deployment: as its profile sees them.
  // By path and unit of times.
  std::map<std::pair<std::string, std::optional<Seconds>>, std::shared_ptr<const workload::Trace>>
      traces_;
};

void Resolver::AddClass(std::size_t index) {
  const ClassText& text = text_.workload[index];
  workload::WorkloadClass spec;
  spec.name = text.name;
  spec.slo = text.slo ? text.slo : text_.slo;
  spec.rate_changes = text.rate_changes;
  spec.cached_prompt = text.cached_prompt;
  spec.tenant = text.tenant;
  spec.priority = text.priority;
  if (!SetArrivals(index, spec) || !SetLengths(index, spec)) return;
  workload::Workload alone;
  alone.classes.push_back(spec);
  if (auto checked = workload::CheckWorkload(alone); !checked) {
    reader_.Fault(Item("workload", index).line, checked.error().message);
    return;
  }
  scenario_.workload.classes.push_back(std::move(spec));
}

bool Resolver::SetArrivals(std::size_t index, workload::WorkloadClass& spec) {
  const ClassText& text = text_.workload[index];
  if (!text.trace.empty() && text.arrivals != ClassText::Arrivals::kTrace) {
    Fault("workload", index, "trace",
          "class \"" + text.name +
              "\" names a trace and does not replay it; add `arrivals: trace` and, for its "
              "lengths, `lengths: trace`");
    return false;
  }
  if (text.arrivals == ClassText::Arrivals::kTrace) {
    if (text.trace.empty()) {
      Fault("workload", index, "arrivals",
            "class \"" + text.name + "\" has trace arrivals but no trace; add `trace: …`");
      return false;
    }
    auto& trace = traces_[{text.trace, text.time_unit}];
    if (!trace) {
      auto parsed = read_file_(PathOf(text.trace)).and_then([&](const std::string& content) {
        return workload::ReadTrace(content, text.trace, text.time_unit);
      });
      if (!parsed) {
        Fault("workload", index, "trace", parsed.error().message);
        return false;
      }
      for (const std::string& note : parsed->notes) Warn("workload", index, "trace", note);
      workload::BeginAtZero({&parsed->rows, 1});
      trace = std::make_shared<const workload::Trace>(std::move(parsed->rows));
    }
    spec.arrivals =
        workload::ReplayArrivals{trace, text.speed, text.start == ClassText::Start::kRandom};
    return true;
  }
  double rate = text.rate.value_or(0);
  if (text.share && !text.rate) {
    if (!text_.rate) {
      Fault("workload", index, "share",
            "class \"" + text.name +
                "\" has a share, but the scenario has no rate; add `rate: …` to the scenario");
      return false;
    }
    double shares = 0;
    for (const ClassText& other : text_.workload) shares += other.share.value_or(0);
    rate = *text_.rate * *text.share / shares;
  } else if (!text.rate || text.share) {
    Fault("workload", index, "name",
          "class \"" + text.name + "\" needs a rate or a share, and not both; add `rate: 1`");
    return false;
  }
  if (text.arrivals == ClassText::Arrivals::kGamma) {
    spec.arrivals = workload::GammaArrivals{rate, text.cv};
  } else if (text.arrivals == ClassText::Arrivals::kWeibull) {
    spec.arrivals = workload::WeibullArrivals{rate, text.cv};
  } else {
    spec.arrivals = workload::PoissonArrivals{rate};
  }
  return true;
}

bool Resolver::SetLengths(std::size_t index, workload::WorkloadClass& spec) {
  const ClassText& text = text_.workload[index];
  if (text.lengths.empty()) {
    if (!text.prompt || !text.output) {
      Fault("workload", index, "name",
            "class \"" + text.name +
                "\" has no lengths; add `lengths: sharegpt`, or both `prompt` and `output`");
      return false;
    }
    spec.lengths = workload::DistributedLengths{*text.prompt, *text.output};
  } else if (text.prompt || text.output) {
    Fault("workload", index, "lengths",
          "class \"" + text.name +
              "\" has lengths twice; remove either `lengths`, or `prompt` and "
              "`output`");
    return false;
  } else if (text.lengths == "sharegpt") {
    spec.lengths = workload::EmpiricalLengths{workload::ShareGptLengths()};
  } else if (text.lengths == "trace") {
    spec.lengths = workload::TraceLengths{};
  } else {
    const auto parsed = read_file_(PathOf(text.lengths)).and_then([&](const std::string& content) {
      return workload::ReadLengths(content, text.lengths);
    });
    if (!parsed) {
      Fault("workload", index, "lengths", parsed.error().message);
      return false;
    }
    for (const std::string& note : parsed->notes) Warn("workload", index, "lengths", note);
    spec.lengths =
        workload::EmpiricalLengths{std::make_shared<const std::vector<workload::RequestLength>>(
            workload::LengthsOf(parsed->rows))};
  }
  return true;
}

void Resolver::AddTenant(std::size_t index) {
  const config::TenantConfig& tenant = text_.tenants[index];
  std::vector<std::string_view> names;
  for (const ClassText& text : text_.workload) {
    if (!text.tenant.empty()) names.push_back(text.tenant);
  }
  if (names.empty()) {
    Fault("tenants", index, "name",
          "no class belongs to a tenant; add `tenant: " + tenant.name +
              "` to one, or remove "
              "`tenants`");
  } else if (std::ranges::find(names, tenant.name) == names.end()) {
    Fault("tenants", index, "name",
          "the tenant " + config::Quote(tenant.name) + " " + config::NotOneOf(tenant.name, names));
  } else {
    scenario_.scheduler.tenant_weights.push_back({HashOf(tenant.name), tenant.weight});
  }
}

void Resolver::ReadGpus() {
  const bool shipped = text_.gpus.empty();
  auto gpus =
      (shipped ? Result<std::string>(engine::ShippedGpuCatalog()) : read_file_(PathOf(text_.gpus)))
          .and_then([&](const std::string& content) {
            return engine::GpuCatalog::Parse(content, shipped ? "gpus.json" : text_.gpus);
          });
  if (gpus) {
    gpus_ = *std::move(gpus);
  } else {
    reader_.Fault(config::LineOf(root_, "gpus"), gpus.error().message);
  }
}

void Resolver::AddDeployment(std::size_t index) {
  const FleetText& text = text_.fleet[index];
  // So that a fault of the engine is not also one of every option that names the deployment.
  sim::SimDeployment deployment{
      .name = text.name, .endpoints = text.endpoints, .max_in_flight = text.max_in_flight};
  const auto engine =
      gpus_ ? gpus_->Engine(text.gpu, text_.model,
                            text.max_model_len > 0 ? text.max_model_len : text_.max_model_len,
                            text.engine)
            : Result<engine::EngineConfig>();
  if (!engine) {
    Fault("fleet", index, "gpu", engine.error().message);
  } else if (gpus_) {
    deployment.engine = *engine;
    Apply(text, deployment.engine);
    profiled_[index] = deployment.engine;
    if (text.real) Apply(*text.real, deployment.engine);
    for (const engine::EngineConfig& config : {profiled_[index], deployment.engine}) {
      const auto checked = engine::CheckEngineConfig(config);
      if (checked) continue;
      Fault("fleet", index, "name", "deployment \"" + text.name + "\": " + checked.error().message);
      break;
    }
    deployment.price_per_hour =
        text.price_per_hour.value_or(gpus_->gpus().find(text.gpu)->second.usd_per_hour.value);
  }
  scenario_.fleet.push_back(std::move(deployment));
}

// Measuring takes seconds of one core, so the deployments are measured at the same time.
void Resolver::AddProfiles() {
  const std::optional<slo::Slo> slo = ProfileSlo();
  std::vector<std::future<Result<profile::GpuProfile>>> profiles(text_.fleet.size());
  for (std::size_t i = 0; i < text_.fleet.size(); ++i) {
    if (text_.fleet[i].profile == "none") continue;
    profiles[i] = std::async(std::launch::async, [this, i, &slo] { return ProfileOf(i, slo); });
  }
  for (std::size_t i = 0; i < text_.fleet.size(); ++i) {
    if (!profiles[i].valid()) continue;
    const FleetText& text = text_.fleet[i];
    const Result<profile::GpuProfile> profile = profiles[i].get();
    if (!profile) {
      Fault("fleet", i, "profile", profile.error().message);
      continue;
    }
    if (!profile::HasUsableCell(*profile)) {
      Warn("fleet", i, "name",
           "deployment \"" + text.name + "\" meets the SLO of its profile (" +
               slo::Describe(profile->slo) +
               ") with no size of request at any rate, so policies by SLO send it nothing; relax "
               "the SLO or leave it out");
    }
    scenario_.fleet[i].profile =
        std::make_shared<const profile::GpuProfile>(benchmark::WithProfileError(
            *profile, text.profile_error * text.profile_rate_error, 1 / text.profile_error));
  }
  MixUpProfiles();
}

void Resolver::MixUpProfiles() {
  const std::vector<sim::SimDeployment> own = scenario_.fleet;
  std::vector<std::string_view> names;
  for (const sim::SimDeployment& deployment : own) names.push_back(deployment.name);
  for (std::size_t i = 0; i < own.size(); ++i) {
    const std::string& other = text_.fleet[i].profile_of;
    if (other.empty()) continue;
    const auto found = std::ranges::find(names, other);
    if (found == names.end()) {
      Fault("fleet", i, "profile_of",
            "the deployment " + config::Quote(other) + " " + config::NotOneOf(other, names));
      continue;
    }
    scenario_.fleet[i].profile = own[static_cast<std::size_t>(found - names.begin())].profile;
  }
}

Result<profile::GpuProfile> Resolver::ProfileOf(std::size_t index,
                                                const std::optional<slo::Slo>& slo) const {
  const std::string& profile = text_.fleet[index].profile;
  const sim::SimDeployment& deployment = scenario_.fleet[index];
  if (profile != "measured") {
    return read_file_(PathOf(profile))
        .and_then(
            [&](const std::string& content) { return profile::ParseGpuProfile(content, profile); })
        .map([](const profile::ParsedProfile& parsed) { return parsed.profile; });
  }
  if (!slo) {
    return Fail(
        "profiles are measured for one SLO, but the classes have different ones or none; add "
        "`slo: …` to the scenario");
  }
  return benchmark::MeasureProfile(
             profiled_[index],
             {.deployment = deployment.name, .cost = deployment.price_per_hour, .slo = *slo})
      .map([](const benchmark::GeneratedProfile& generated) { return generated.profile; });
}

std::optional<slo::Slo> Resolver::ProfileSlo() const {
  if (text_.slo) return text_.slo;
  for (const workload::WorkloadClass& spec : scenario_.workload.classes) {
    if (spec.slo != scenario_.workload.classes.front().slo) return std::nullopt;
  }
  return scenario_.workload.classes.empty() ? std::nullopt : scenario_.workload.classes.front().slo;
}

void Resolver::AddEndpointFault(std::size_t index) {
  const EndpointFaultText& text = text_.faults[index];
  const char* const list = root_.Find("faults") != nullptr ? "faults" : kFormerFaults;
  for (std::size_t d = 0; d < text_.fleet.size(); ++d) {
    if (text_.fleet[d].name != text.deployment) continue;
    if (text.endpoint >= text_.fleet[d].endpoints) {
      Fault(list, index, "endpoint",
            "deployment \"" + text.deployment + "\" has endpoints 0 to " +
                std::to_string(text_.fleet[d].endpoints - 1) + "; write one of them");
      return;
    }
    scenario_.faults.push_back({text.at, text.kind, d, text.endpoint, text.factor});
    return;
  }
  std::vector<std::string_view> names;
  for (const FleetText& deployment : text_.fleet) names.push_back(deployment.name);
  Fault(list, index, "deployment",
        "the deployment " + config::Quote(text.deployment) + " " +
            config::NotOneOf(text.deployment, names));
}

void Resolver::AddPolicies() {
  std::vector<Policy> variants;
  for (std::size_t i = 0; i < text_.variants.size(); ++i) {
    const VariantText& text = text_.variants[i];
    const routing::PolicyInfo* info = routing::FindPolicy(text.policy);
    if (info == nullptr) {
      std::vector<std::string_view> names;
      for (const routing::PolicyInfo& info : routing::Policies()) names.push_back(info.name);
      Fault(
          "variants", i, "policy",
          "the policy " + config::Quote(text.policy) + " " + config::NotOneOf(text.policy, names));
      continue;
    }
    using Length = VariantText::Length;
    Policy variant{.name = text.name, .router = info, .quantile = text.quantile};
    if (text.length == Length::kMean) variant.length = predict::LengthOptions::Summary::kMean;
    if (text.length == Length::kSample || text.length == Length::kRedrawn) {
      variant.length = predict::LengthOptions::Summary::kSample;
    }
    variant.exact_lengths = text.length == Length::kExact;
    variant.experiment.redraw_lengths = text.length == Length::kRedrawn;
    variant.per_request_slo = text.per_request_slo;
    variant.deadline_wakeups = text.deadline_wakeups;
    variants.push_back(variant);
  }
  std::vector<std::string> policies = text_.policies;
  if (policies.empty() && variants.empty()) policies = {"slo-headroom", "slo", "least-request"};
  for (const std::string& name : policies) {
    const auto policy = FindPolicy(name, scenario_);
    const auto checked =
        policy.and_then([&](const Policy& found) { return CheckPolicy(found, scenario_); });
    if (checked) {
      scenario_.policies.push_back(*policy);
    } else {
      reader_.Fault(config::LineOf(root_, "policies"), checked.error().message);
    }
  }
  for (Policy& variant : variants) scenario_.policies.push_back(std::move(variant));
}

}  // namespace

Result<Scenario> LoadScenario(std::string_view text, const std::string& file_name,
                              const FileReader& read_file) {
  config::ConfigReader reader(file_name, "the scenario");
  ScenarioText written;
  Scenario scenario;
  const config::YamlRef root = reader.Parse(text);
  if (root) ScenarioSchema().Read(written, *root, reader);
  if (reader.faults() == 0) {
    scenario = Resolver(written, *root, file_name, read_file, reader).Resolve();
  }
  if (reader.faults() > 0) return Fail(reader.FaultText());
  return scenario;
}

Tokens Scenario::LongestContext() const {
  Tokens longest = 0;
  for (const sim::SimDeployment& deployment : fleet) {
    longest = std::max(longest, deployment.engine.max_model_len);
  }
  return longest;
}

Result<Policy> FindPolicy(std::string_view name, const Scenario& scenario) {
  Policy policy;
  policy.name = name;
  for (const Policy& variant : scenario.policies) {
    if (variant.name == name) return variant;
  }
  if (const routing::PolicyInfo* info = routing::FindPolicy(name)) {
    policy.router = info;
    return policy;
  }
  if (name == "best-split") {
    policy.kind = Policy::Kind::kBestSplit;
    return policy;
  }
  if (name == "type-split") {
    policy.kind = Policy::Kind::kTypeSplit;
    return policy;
  }
  if (name == "clairvoyant") {
    policy.kind = Policy::Kind::kClairvoyant;
    return policy;
  }
  if (name.starts_with(kOnlyPrefix)) {
    for (std::size_t d = 0; d < scenario.fleet.size(); ++d) {
      if (scenario.fleet[d].name != name.substr(kOnlyPrefix.size())) continue;
      policy.kind = Policy::Kind::kOnly;
      policy.deployment = d;
      return policy;
    }
  }
  const std::vector<std::string> names = PolicyNames(scenario);
  return Fail("the policy " + config::Quote(name) + " " +
              config::NotOneOf(name, std::vector<std::string_view>(names.begin(), names.end())));
}

Result<void> CheckPolicy(const Policy& policy, const Scenario& scenario) {
  if (!policy.IsSplit()) return {};
  HEADRACE_TRY(GroupsFor(policy, scenario));
  return {};
}

sim::SimulationSpec SpecOf(const Scenario& scenario, const Policy& policy, double rate,
                           std::uint64_t seed) {
  sim::SimulationSpec spec;
  spec.fleet = scenario.fleet;
  spec.workload = &scenario.workload;
  spec.scheduler = scenario.scheduler;
  spec.scheduler.policy = policy.router;
  spec.scheduler.length.summary = policy.length;
  spec.scheduler.length.quantile = policy.quantile;
  spec.experiment = policy.experiment;
  spec.context = scenario.LongestContext();
  spec.rate_scale = rate;
  spec.seed = seed;
  spec.warm_up = scenario.warm_up;
  spec.duration = scenario.DurationAt(rate);
  spec.drain = scenario.drain;
  spec.faults = scenario.faults;
  spec.state_lag = scenario.state_lag;
  spec.replicas = scenario.replicas;
  spec.replica_lag = scenario.replica_lag;
  spec.exact_lengths = policy.exact_lengths;
  spec.per_request_slo = policy.per_request_slo;
  spec.deadline_wakeups = policy.deadline_wakeups;
  spec.first_tokens = policy.first_tokens;
  spec.kv_room = policy.kv_room;
  spec.clairvoyant = policy.kind == Policy::Kind::kClairvoyant;
  if (policy.kind == Policy::Kind::kOnly) spec.only_deployment = policy.deployment;
  if (spec.scheduler.policy == nullptr)
    spec.scheduler.policy = routing::FindPolicy("least-request");
  return spec;
}

}  // namespace headrace::scenario
