#include "config/model_options.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/duration.h"
#include "config/deployment_options.h"
#include "config/kubernetes_options.h"

namespace headrace::config {
namespace {

OptionGroup<QueueConfig> QueueOptions() {
  return OptionGroup<QueueConfig>()
      .Value("max_length", &QueueConfig::max_length, CountForm(0, 10'000'000),
             {.prose = "Most requests that wait at a time; more get status 429. `0`: no request "
                       "waits; one that cannot start at once is refused."})
      .Value("max_bytes", &QueueConfig::max_bytes, SizeForm(kKiB, 1024 * kGiB),
             {.prose = "Most bytes of the waiting requests' bodies together; more get status 429."})
      .Value("timeout", &QueueConfig::timeout, DurationForm(kMillisecond, kDay),
             {.prose = "Longest wait, even if the SLO allows a longer one; then status 429."})
      .Value(
          "down_timeout", &QueueConfig::down_timeout, DurationForm(0, kDay),
          {.prose = "Longest wait for an endpoint while none is up, for engines that are started "
                    "when there is something to do; then status 503. `0`: at once. `timeout` "
                    "begins anew when one is up."});
}

OptionGroup<LengthConfig> LengthOptions() {
  using Estimate = LengthConfig::Estimate;
  return OptionGroup<LengthConfig>()
      .Value("estimate", &LengthConfig::estimate,
             ChoiceForm<Estimate>({{"mean", Estimate::kMean},
                                   {"sample", Estimate::kSample},
                                   {"quantile", Estimate::kQuantile}}),
             {.prose = "How the lengths of earlier responses to prompts of the same size become "
                       "one number: a `quantile`, their `mean`, or a random `sample`. It is "
                       "computed once for each request. Requests in flight are longer than those "
                       "that arrive, so a mean sends an endpoint more than it can carry."})
      .Value("quantile", &LengthConfig::quantile, ShareForm(0.01, 0.999),
             {.prose = "The quantile for `estimate: quantile`; higher is more careful."})
      .Value("window", &LengthConfig::window, DurationForm(10, 30 * kDay),
             {.prose = "How long finished requests are remembered, in steps of 10 s."})
      .Value("prior", &LengthConfig::prior, IntegerForm(0, 1 << 24),
             {.prose = "Tokens to expect while too few requests have finished. `0`: take the "
                       "upper quartile of the profile's output buckets, or the request's "
                       "`max_tokens` if that is less."});
}

OptionGroup<RetriesConfig> RetriesOptions() {
  return OptionGroup<RetriesConfig>()
      .Value("most", &RetriesConfig::most, IntegerForm(0, 100),
             {.prose = "Further endpoints that one request is sent to. `0`: none."})
      .Value("budget", &RetriesConfig::budget, ShareForm(0, 1),
             {.prose = "Share of the requests under way that may be retries at a time, so that "
                       "engines that fail under load do not get more load because of it. Ten may "
                       "be in any case. Requests that could not be sent because there was no "
                       "connection do not count."});
}

OptionGroup<EjectionConfig> EjectionOptions() {
  return OptionGroup<EjectionConfig>()
      .Value(
          "enabled", &EjectionConfig::enabled, BooleanForm(),
          {.prose = "`false`: endpoints get requests for as long as their health checks succeed, "
                    "whatever they do with them."})
      .Value("failures", &EjectionConfig::failures, IntegerForm(1, 1'000),
             {.prose = "Failures in a row until an endpoint is ejected."})
      .Value("error_rate", &EjectionConfig::error_rate, ShareForm(0.01, 1),
             {.prose = "An endpoint is also ejected if such a share of its requests failed in the "
                       "last 30 s, of at least 20, and half of that or less at the others."})
      .Value("backoff", &EjectionConfig::backoff, DurationForm(kMillisecond, kDay),
             {.prose = "For how long it is ejected the first time, until one request, the probe, "
                       "shows how it is. Doubles with each ejection that follows. After status 429 "
                       "or 503 a tenth of it."})
      .Value("max_backoff", &EjectionConfig::max_backoff, DurationForm(kMillisecond, kDay),
             {.prose = "The longest that it is ejected for."})
      .Value("max_share", &EjectionConfig::max_share, ShareForm(0, 1),
             {.prose = "Most of the model's endpoints that are up, of all deployments, that are "
                       "ejected at a time: of two or more at least one, but never the last. A bad "
                       "engine is better than none."})
      .Rule([](const EjectionConfig& ejection, const YamlNode& node, ConfigReader& reader) {
        if (ejection.backoff <= ejection.max_backoff) return;
        reader.Fault(LineOf(node, "backoff"),
                     reader.PathOf("backoff") + " (" + WriteDuration(ejection.backoff) +
                         ") is longer than max_backoff (" + WriteDuration(ejection.max_backoff) +
                         "); shorten it or lengthen max_backoff");
      });
}

OptionGroup<ObjectiveConfig> ObjectiveOptions() {
  return OptionGroup<ObjectiveConfig>()
      .Value("name", &ObjectiveConfig::name, NameForm(),
             {.prose = "What requests write into the header `x-gateway-inference-objective`.",
              .example = "batch",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value("priority", &ObjectiveConfig::priority, PriorityForm(),
             {.prose = "Requests of a higher priority are served first, and lower ones harm them "
                       "as little as possible. Requests without an objective, or with one that is "
                       "not listed, have `0`. Give what may wait a priority below that.",
              .example = "-1"});
}

// What the deployments of a model have to be depends on where its engines come from.
void CheckModel(const ModelConfig& model, const YamlNode& node, ConfigReader& reader) {
  const YamlNode* const deployments = node.Find("deployments");
  const auto fault_of = [&](std::size_t i, const char* option, const std::string& sentence) {
    const YamlNode& item = *deployments->items[i];
    reader.Fault(LineOf(item, option),
                 reader.PathOf("deployments[" + std::to_string(i) + "]") + sentence);
  };
  const bool any_model = model.name == kAny;
  for (std::size_t i = 0; i < model.deployments.size(); ++i) {
    const DeploymentConfig& deployment = model.deployments[i];
    const bool any = deployment.name == kAny;
    if (!model.kubernetes && any) {
      fault_of(i, "name",
               ".name is *, which stands for deployments that Kubernetes has; add `kubernetes: { "
               "from: pods }` to the model or write a name");
    } else if (!model.kubernetes && deployment.endpoints.empty()) {
      fault_of(i, "name",
               " has no \"endpoints\"; add it, like `endpoints: [127.0.0.1:9001, "
               "127.0.0.1:9002]`");
    } else if ((any || any_model) && !deployment.endpoints.empty()) {
      fault_of(i, "endpoints",
               ".endpoints is given where * stands for what Kubernetes has; remove one of the two");
    }
  }
  if (!model.kubernetes) {
    if (any_model) {
      reader.Fault(LineOf(node, "name"),
                   reader.PathOf("name") +
                       " is *, which stands for models that Kubernetes has; add `kubernetes: { "
                       "from: pods }` or write the model's name");
    } else if (model.deployments.empty()) {
      reader.Fault(node.line, reader.group() +
                                  " has no \"deployments\"; add it, like `deployments: [{ name: "
                                  "llama2-7b-a10, endpoints: [127.0.0.1:9001] }]`");
    }
    return;
  }
  const KubernetesSourceConfig& source = *model.kubernetes;
  const YamlNode& group = *node.Find("kubernetes");
  const bool everywhere = std::ranges::find(source.namespaces, kAny) != source.namespaces.end();
  if (source.namespaces.size() > 1 && everywhere) {
    reader.Fault(LineOf(group, "namespaces"),
                 reader.PathOf("kubernetes.namespaces") +
                     " has *, which is all of them, and others; remove the others");
  } else if (!any_model && (everywhere || source.namespaces.size() > 1)) {
    reader.Fault(LineOf(group, "namespaces"),
                 reader.PathOf("kubernetes.namespaces") +
                     " are several, and a model that has a name is in one; write that one, or "
                     "`name: \"*\"` for the models of all");
  }
  // What labels may hold.
  constexpr std::string_view kLabel =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  constexpr std::size_t kLongestLabel = 63;
  const bool by_label = source.from.kind == KubernetesSourceConfig::Kind::kPods &&
                        source.selector.empty() && !any_model;
  if (by_label && (model.name.size() > kLongestLabel ||
                   model.name.find_first_not_of(kLabel) != std::string::npos)) {
    reader.Fault(LineOf(node, "name"),
                 reader.PathOf("name") +
                     " can be no label's value, so no pod has it; add a `selector: app=vllm` to "
                     "kubernetes");
  }
  if (!any_model) return;
  if (source.from.kind != KubernetesSourceConfig::Kind::kPods) {
    reader.Fault(LineOf(group, "from"),
                 reader.PathOf("kubernetes.from") +
                     " lists the engines of one model; write `from: pods`, or the model's name "
                     "instead of *");
  }
  for (const auto& [option, given] : {std::pair{"engine_name", !model.engine_name.empty()},
                                      {"aliases", !model.aliases.empty()},
                                      {"adapters", !model.adapters.empty()},
                                      {"default", model.is_default}}) {
    if (!given) continue;
    reader.Fault(LineOf(node, option),
                 reader.PathOf(option) +
                     " belongs to one model, and * stands for all that Kubernetes has; remove it, "
                     "or write the model's name");
  }
}

}  // namespace

OptionGroup<slo::Slo> SloOptions() {
  return OptionGroup<slo::Slo>()
      .Value("ttft", &slo::Slo::ttft, DurationForm(kMillisecond, kHour),
             {.prose = "Time to first token, from the arrival at the gateway.", .example = "1s"})
      .Value("tpot", &slo::Slo::tpot, DurationForm(10e-6, kMinute),
             {.prose = "Time per output token after the first.", .example = "40ms"})
      .Value("tpat", &slo::Slo::tpat, DurationForm(10e-6, kMinute),
             {.prose = "Time per token of prompt and response: the whole time divided by the "
                       "number of all tokens.",
              .example = "50ms"})
      .Value("ntpot", &slo::Slo::ntpot, DurationForm(10e-6, kMinute),
             {.prose = "Normalized time per output token: the whole time, waiting and prefill "
                       "included, divided by the number of output tokens.",
              .example = "100ms"})
      .Value("e2e", &slo::Slo::e2e, DurationForm(kMillisecond, kDay),
             {.prose = "The whole time, from the arrival at the gateway to the last token.",
              .example = "30s"})
      .Rule([](const slo::Slo& slo, const YamlNode& node, ConfigReader& reader) {
        if (slo.HasLatency()) return;
        reader.Fault(node.line, reader.path() +
                                    " has no target; set at least one of ttft, tpot, tpat, "
                                    "ntpot and e2e, or remove it");
      });
}

OptionGroup<TenantConfig> TenantOptions() {
  return OptionGroup<TenantConfig>()
      .Value("name", &TenantConfig::name, NameForm(),
             {.prose = "The tenant's name in requests.",
              .example = "team-a",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value("weight", &TenantConfig::weight, NumberForm(0.001, 1000),
             {.prose = "While there is not enough for all, tenants get GPU time in proportion to "
                       "their weights; what one of them does not use goes to the others."});
}

OptionForm<int> PriorityForm() { return IntegerForm(-1000, 1000); }

OptionGroup<ModelConfig> ModelOptions(std::span<const std::string_view> policies) {
  return OptionGroup<ModelConfig>()
      .Value("name", &ModelConfig::name, NameForm(),
             {.prose = "The name that requests give in `model`.",
              .example = "llama2-7b",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value("engine_name", &ModelConfig::engine_name, NameForm(),
             {.prose = "What the engines call the model (`--served-model-name`), if it is not "
                       "`name`: requests for `name` and the aliases reach them under it.",
              .example = "meta-llama/Llama-2-7b-chat-hf"})
      .Values(
          "aliases", &ModelConfig::aliases, NameForm(),
          {.prose = "Further names of the model; engines get `engine_name` in their place, unless "
                    "they list the alias themselves. Requests for all names are scheduled "
                    "together; metrics and logs use `name`. No two models may have a name in "
                    "common.",
           .example = "[llama2]",
           .unique = OptionNote::Unique::kInList,
           .unique_with = "name"})
      .Values("adapters", &ModelConfig::adapters, NameForm(),
              {.prose = "LoRA adapters at all of the model's engines, which get these names "
                        "unchanged. Those that an engine lists in `/v1/models` are served even if "
                        "they are not listed here.",
               .example = "[llama2-7b-legal]",
               .unique = OptionNote::Unique::kInList,
               .unique_with = "name"})
      .Value("default", &ModelConfig::is_default, BooleanForm(),
             {.prose = "Whether the model serves requests that name none, or one that is not known "
                       "here; of one model at most. Else these get status 400 and 404."})
      .Value("policy", &ModelConfig::policy, OneOfForm("policy", policies),
             {.prose = "The routing policy for requests that name none in the `routing-strategy` "
                       "header."})
      .Group("slo", &ModelConfig::slo,
             SloOptions().Removed(
                 "percentile",
                 "has no effect on routing; remove it: the percentile belongs to the profile "
                 "(`headrace profile generate --percentile`)"),
             "The latency targets of requests that have none in their headers. Any of them may be "
             "set; without the group, the SLO of each profile applies.")
      .Group("queue", &ModelConfig::queue, QueueOptions(),
             "Where requests wait for an engine that can still meet their SLO.")
      .Group("length", &ModelConfig::length, LengthOptions(),
             "How long a response is expected to be, which decides what a request costs an engine.")
      .Group("retries", &ModelConfig::retries, RetriesOptions(),
             "Requests that go to another endpoint because one failed them before its response "
             "began (docs/operations.md).")
      .Group("ejection", &ModelConfig::ejection, EjectionOptions(),
             "Endpoints whose health checks succeed, but whose requests fail, get none for a while "
             "(docs/operations.md).")
      .Groups("objectives", &ModelConfig::objectives, ObjectiveOptions(),
              {.prose = "Priorities of requests, by name; for policies that forecast "
                        "(`slo-headroom`). Others serve all requests alike.",
               .example = "{ name: batch, priority: -1 }"})
      .Groups("tenants", &ModelConfig::tenants, TenantOptions(),
              {.prose = "Tenants whose weight is not 1, or whose share `/status` shows. A request "
                        "belongs to its key's tenant where `api_keys` is given; else to the "
                        "tenant that the header `x-gateway-inference-fairness-id` names, else to "
                        "the API key that it brings. For policies that forecast.",
               .example = "{ name: team-a, weight: 2 }"})
      .Group("kubernetes", &ModelConfig::kubernetes, KubernetesSourceOptions(),
             "Engines that Kubernetes lists, beside `endpoints` (docs/kubernetes.md). A model "
             "with it and the name `*` stands for every model that is found; its other options "
             "are theirs, too.")
      .Groups("deployments", &ModelConfig::deployments, DeploymentOptions(),
              {.prose = "Replicas of the model, one deployment per GPU type. With `kubernetes`: "
                        "also options of deployments that it finds, by name, which need no "
                        "`endpoints`; the name `*` is for all others.",
               .example = "{ name: llama2-7b-a10, endpoints: [127.0.0.1:9001] }"})
      .Rule(CheckModel);
}

}  // namespace headrace::config
