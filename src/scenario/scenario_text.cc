#include "scenario/scenario_text.h"

#include <cmath>
#include <sstream>
#include <utility>

#include "base/duration.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/token_range.h"
#include "config/model_options.h"
#include "config/option_form.h"
#include "config/quantity.h"

namespace headrace::scenario {
namespace {

constexpr Seconds kWeek = 7 * 86400;

// A range of tokens, or "mean 300 cv 1.2".
std::optional<workload::TokenDistribution> ParseTokens(std::string_view text) {
  constexpr Tokens kMost = 1'000'000;
  if (const auto range = ParseTokenRange(text)) {
    if (range->high > kMost) return std::nullopt;
    if (range->low == range->high) return workload::FixedTokens{range->low};
    return workload::UniformTokens{range->low, range->high};
  }
  std::istringstream stream{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  if (words.size() != 4 || words[0] != "mean" || words[2] != "cv") return std::nullopt;
  const auto mean = config::ParseNumber(words[1]);
  const auto cv = config::ParseNumber(words[3]);
  if (!mean || !cv || *mean < 1 || *mean > kMost || *cv < 0 || *cv > 100) return std::nullopt;
  return workload::LogNormalTokens{.mean = *mean, .cv = *cv};
}

config::OptionForm<workload::TokenDistribution> TokensForm() {
  config::OptionForm<workload::TokenDistribution> form;
  form.type = "tokens";
  form.parse = [](std::string_view text) -> Result<workload::TokenDistribution> {
    if (const auto tokens = ParseTokens(text)) return *tokens;
    return Fail(
        "is not a distribution of tokens; write it like `128`, `4000 to 4600` or `mean 300 cv "
        "1.2`");
  };
  form.print = [](const workload::TokenDistribution&) { return std::string("128"); };
  return form;
}

config::OptionForm<bool> YesNoForm() {
  return config::ChoiceForm<bool>({{"true", true}, {"false", false}});
}

// "0.5 from 5m".
config::OptionForm<workload::RateChange> RateChangeForm() {
  config::OptionForm<workload::RateChange> form;
  form.type = "rate change";
  form.parse = [](std::string_view text) -> Result<workload::RateChange> {
    constexpr std::string_view kFrom = " from ";
    const std::size_t middle = text.find(kFrom);
    if (middle != std::string_view::npos) {
      const auto factor = config::ParseNumber(text.substr(0, middle));
      const auto at = ParseDuration(text.substr(middle + kFrom.size()));
      if (factor && *factor >= 0 && *factor <= limits::kRate.high && at && *at <= kWeek) {
        return workload::RateChange{*at, *factor};
      }
    }
    return Fail(
        "is not a change of a rate; write a factor up to 1000000 and a time up to 7d, like `0.5 "
        "from 5m`");
  };
  form.print = [](const workload::RateChange& change) {
    return FormatNumber(change.factor) + " from " + WriteDuration(change.at);
  };
  return form;
}

config::OptionGroup<ClassText> ClassOptions() {
  using Arrivals = ClassText::Arrivals;
  return config::OptionGroup<ClassText>()
      .Value("name", &ClassText::name, config::NameForm(),
             {.prose = "The name of the class in reports.",
              .example = "chat",
              .required = true,
              .unique = config::OptionNote::Unique::kInList})
      .Value("arrivals", &ClassText::arrivals,
             config::ChoiceForm<Arrivals>({{"poisson", Arrivals::kPoisson},
                                           {"gamma", Arrivals::kGamma},
                                           {"weibull", Arrivals::kWeibull},
                                           {"trace", Arrivals::kTrace}}),
             {.prose = "How requests arrive; they never wait for responses."})
      .Value("rate", &ClassText::rate, config::NumberForm(1e-6, 1e6),
             {.prose = "Requests per second.", .example = "7"})
      .Value("share", &ClassText::share, config::NumberForm(1e-6, 1e6),
             {.prose = "Instead of `rate`: this class's weight in the scenario's `rate`.",
              .example = "0.6"})
      .Value(
          "cv", &ClassText::cv, config::NumberForm(0.01, 100),
          {.prose = "Of gamma and Weibull arrivals: the standard deviation of the gaps divided by "
                    "their mean; `1`: Poisson."})
      .Value(
          "trace", &ClassText::trace, config::TextForm("path"),
          {.prose = "Of trace arrivals: a file of requests, gzip or plain: Azure's or BurstGPT's "
                    "CSV, Mooncake's JSON lines, one's own, … "
                    "([traces](traces.md#files-that-are-read)).",
           .example = "../data/traces/azure_llm_2023_code.csv.gz"})
      .Value("speed", &ClassText::speed, config::NumberForm(1e-3, 1e3),
             {.prose = "Of trace arrivals: how many times as fast as recorded."})
      .Value("time_unit", &ClassText::time_unit,
             config::ChoiceForm<std::optional<Seconds>>(
                 {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}}),
             {.prose = "Of trace arrivals: the unit of times that are numbers and whose name does "
                       "not tell it.",
              .example = "ms"})
      .Value("start", &ClassText::start,
             config::ChoiceForm<ClassText::Start>(
                 {{"first", ClassText::Start::kFirst}, {"random", ClassText::Start::kRandom}}),
             {.prose = "Of trace arrivals: begin with the trace's first request, or at a time that "
                       "each seed draws. It then goes on from the first request after the last."})
      .Value(
          "lengths", &ClassText::lengths, config::TextForm("path"),
          {.prose = "`sharegpt`, `trace`, or a file to draw pairs from, of any kind that `trace` "
                    "takes, with or without times. Without it, give `prompt` and `output`.",
           .example = "sharegpt"})
      .Value("prompt", &ClassText::prompt, TokensForm(),
             {.prose = "Tokens of a prompt.", .example = "4000 to 4600"})
      .Value("output", &ClassText::output, TokensForm(),
             {.prose = "Tokens of a response.", .example = "32 to 64"})
      .Value("cached_prompt", &ClassText::cached_prompt, config::ShareForm(0, 0.999),
             {.prose = "Share of each prompt that the prefix cache of every engine holds."})
      .Value("tenant", &ClassText::tenant, config::NameForm(),
             {.prose = "Whose requests they are; without it, nobody says.", .example = "team-a"})
      .Value("priority", &ClassText::priority, config::PriorityForm(),
             {.prose = "Requests of a higher priority are served first."})
      .Group("slo", &ClassText::slo,
             config::SloOptions().Removed(
                 "percentile",
                 "has no effect on the requests of a class; remove it: the percentile belongs to "
                 "the scenario's `slo`, with which profiles are measured"),
             "The class's own latency targets.")
      .Values("rate_changes", &ClassText::rate_changes, RateChangeForm(),
              {.prose = "Factors on the class's rate, each with the time from which it applies.",
               .example = "[0.5 from 5m]"});
}

// Of FleetText and of RealEngineText.
template <typename T>
config::OptionGroup<T> AddEngineOptions(config::OptionGroup<T> options) {
  return std::move(options)
      .Value("slowdown", &T::slowdown, config::NumberForm(0.01, 100),
             {.prose = "Factor on the step times of `gpus`, to vary what is only modelled."})
      .Value("max_num_seqs", &T::max_num_seqs, config::IntegerForm(1, 100'000),
             {.prose = "Most requests that run at once in an engine; by default vLLM's 256.",
              .example = "64"})
      .Value("max_num_batched_tokens", &T::max_num_batched_tokens,
             config::IntegerForm(1, 10'000'000),
             {.prose = "Most tokens in a step, and so the size of the chunks in which prompts are "
                       "computed; by default vLLM's 2048.",
              .example = "512"})
      .Value("kv_share", &T::kv_share, config::NumberForm(0.001, 1),
             {.prose = "Share of the memory for keys and values that the engine has."});
}

config::OptionGroup<FleetText> FleetOptions() {
  return AddEngineOptions(config::OptionGroup<FleetText>())
      .Value("name", &FleetText::name, config::NameForm(),
             {.prose = "The name of the deployment.",
              .example = "l20",
              .required = true,
              .unique = config::OptionNote::Unique::kInList})
      .Value("gpu", &FleetText::gpu, config::NameForm(),
             {.prose = "A GPU type of `gpus`.", .example = "l20", .required = true})
      .Value("engine", &FleetText::engine, config::NameForm(),
             {.prose = "The engine's version: whose overhead each step has; by default that of "
                       "`gpus`.",
              .example = "vllm-2024"})
      .Value("endpoints", &FleetText::endpoints, config::IntegerForm(1, 100'000),
             {.prose = "Engines, one GPU each."})
      .Value("max_model_len", &FleetText::max_model_len, config::IntegerForm(0, 10'000'000),
             {.prose = "Most tokens of prompt and response together on these engines; `0`: the "
                       "scenario's."})
      .Value("price_per_hour", &FleetText::price_per_hour, config::NumberForm(0, 1e6),
             {.prose = "Of one GPU; by default the price in `gpus`.", .example = "0.9"})
      .Value("profile", &FleetText::profile, config::TextForm("path"),
             {.prose = "`measured` (in simulation), `none`, or the file of a profile."})
      .Value("profile_of", &FleetText::profile_of, config::NameForm(),
             {.prose = "Another deployment, whose profile this one gets by mistake.",
              .example = "a10"})
      .Group("real", &FleetText::real, AddEngineOptions(config::OptionGroup<RealEngineText>()),
             "How its engines differ from those that its profile was measured on: nobody but the "
             "engines knows.")
      .Value("profile_error", &FleetText::profile_error, config::NumberForm(0.01, 100),
             {.prose = "The profile's rates are this many times too high and its latencies as much "
                       "too low."})
      .Value("profile_rate_error", &FleetText::profile_rate_error, config::NumberForm(0.01, 100),
             {.prose = "The profile's rates are this many times too high and its latencies true, "
                       "so the load is wrong, too."})
      .Value("max_in_flight", &FleetText::max_in_flight, config::IntegerForm(1, 1'000'000),
             {.prose = "Most requests in flight at one endpoint."});
}

config::OptionGroup<VariantText> VariantOptions() {
  using Length = VariantText::Length;
  return config::OptionGroup<VariantText>()
      .Value("name", &VariantText::name, config::NameForm(),
             {.prose = "The name of the variant.",
              .example = "slo-exact",
              .required = true,
              .unique = config::OptionNote::Unique::kInList})
      .Value("policy", &VariantText::policy, config::NameForm(),
             {.prose = "Its routing policy.", .example = "slo", .required = true})
      .Value(
          "length", &VariantText::length,
          config::ChoiceForm<Length>({{"mean", Length::kMean},
                                      {"quantile", Length::kQuantile},
                                      {"sample", Length::kSample},
                                      {"redrawn", Length::kRedrawn},
                                      {"exact", Length::kExact}}),
          {.prose = "The length that the scheduler expects of a response: the mean or a quantile "
                    "of those it saw, one draw from them, a new draw at each use, or the exact "
                    "length."})
      .Value("quantile", &VariantText::quantile, config::ShareForm(0, 1),
             {.prose = "The quantile for `length: quantile`."})
      .Value("per_request_slo", &VariantText::per_request_slo, YesNoForm(),
             {.prose = "Whether the scheduler knows each class's own SLO, or only the scenario's."})
      .Value("deadline_wakeups", &VariantText::deadline_wakeups, YesNoForm(),
             {.prose = "Whether the scheduler is woken when a deadline passes."});
}

config::OptionGroup<EndpointFaultText> EndpointFaultOptions() {
  using Kind = sim::EndpointFault::Kind;
  return config::OptionGroup<EndpointFaultText>()
      .Value("at", &EndpointFaultText::at, config::DurationForm(0, kWeek),
             {.prose = "When it happens, from the start of the run.",
              .example = "5m",
              .required = true})
      .Value(
          "kind", &EndpointFaultText::kind,
          config::ChoiceForm<Kind>({{"slow", Kind::kSpeed},
                                    {"lost", Kind::kLost},
                                    {"failing", Kind::kFailing},
                                    {"returned", Kind::kReturn}}),
          {.prose =
               "`slow`: its steps take `factor` times as long. `lost`: it fails with all that it "
               "runs. `failing`: it responds to every request with an error at once, and to "
               "health checks as if all were well. `returned`: it is back."})
      .Value("deployment", &EndpointFaultText::deployment, config::NameForm(),
             {.prose = "The deployment of the endpoint.", .example = "l20", .required = true})
      .Value("endpoint", &EndpointFaultText::endpoint, config::IntegerForm(0, 99'999),
             {.prose = "Which endpoint of the deployment, from 0."})
      .Value("factor", &EndpointFaultText::factor, config::NumberForm(0.01, 1000),
             {.prose = "Of `slow`; 1 is the normal speed."});
}

config::OptionGroup<ReplicasText> ReplicasOptions() {
  return config::OptionGroup<ReplicasText>()
      .Value("count", &ReplicasText::count, config::IntegerForm(1, 64),
             {.prose = "How many there are; each policy is run with so many schedulers."})
      .Value("lag", &ReplicasText::lag, config::DurationForm(0, 60),
             {.prose = "How much later the others hear what one of them does."});
}

}  // namespace

config::OptionGroup<ScenarioText> ScenarioSchema() {
  return config::OptionGroup<ScenarioText>()
      .Value("name", &ScenarioText::name, config::TextForm("text"),
             {.prose = "The title of the report.",
              .example = "Reference experiment",
              .required = true})
      .Value("about", &ScenarioText::about, config::TextForm("text"),
             {.prose = "A sentence below the title.", .example = "Mixed GPUs, mixed requests"})
      .Value("model", &ScenarioText::model, config::NameForm(),
             {.prose = "A model of `gpus`.", .example = "llama2-7b", .required = true})
      .Value("gpus", &ScenarioText::gpus, config::TextForm("path"),
             {.prose = "GPU types and models, in the form of data/gpus.json; by default that file.",
              .example = "my-gpus.json"})
      .Value("max_model_len", &ScenarioText::max_model_len, config::IntegerForm(0, 10'000'000),
             {.prose = "Most tokens of prompt and response together; `0`: the model's own limit."})
      .Group(
          "slo", &ScenarioText::slo,
          config::SloOptions().Value(
              "percentile", &slo::Slo::percentile,
              config::ChoiceForm<int>({{"0", 0}, {"50", 50}, {"90", 90}, {"95", 95}, {"99", 99}}),
              {.prose = "Which statistic of the measurements must meet the targets when a "
                        "profile is measured; `0`: the mean."}),
          "The latency targets of classes that have none, and of measured profiles.")
      .Value(
          "rate", &ScenarioText::rate, config::NumberForm(1e-6, 1e6),
          {.prose = "Requests per second of all classes with a `share` together.", .example = "11"})
      .Value("warm_up", &ScenarioText::warm_up, config::DurationForm(0, kWeek),
             {.prose = "Time at the start whose requests do not count."})
      .Value("duration", &ScenarioText::duration, config::DurationForm(1, kWeek),
             {.prose = "Time whose requests count."})
      .Value("drain", &ScenarioText::drain, config::DurationForm(0, kWeek),
             {.prose = "Longest time that they have to finish after `duration`."})
      .Value("queue_timeout", &ScenarioText::queue_timeout,
             config::DurationForm(kMillisecond, kWeek),
             {.prose = "Longest wait in the scheduler's queue."})
      .Value("queue_length", &ScenarioText::queue_length, config::CountForm(0, 10'000'000),
             {.prose = "Most requests that wait in the scheduler's queue."})
      .Value("state_lag", &ScenarioText::state_lag, config::DurationForm(0, 3600),
             {.prose = "How much later the scheduler learns that a response has ended."})
      .Group("replicas", &ScenarioText::replicas, ReplicasOptions(),
             "Replicas of the router before the fleet: each request comes to any of them.")
      .Values("rates", &ScenarioText::rates, config::NumberForm(1e-6, 1e6),
              {.prose = "Factors on all rates, one run each.", .example = "[0.5, 1]"})
      .Value("seeds", &ScenarioText::seeds, config::IntegerForm(1, 1000),
             {.prose = "Number of runs, each with other random draws."})
      .Values("policies", &ScenarioText::policies, config::NameForm(),
              {.prose = "Policies and baselines (`best-split`, `type-split`, `only-<deployment>`, "
                        "`clairvoyant`) to compare.",
               .example = "[slo, least-request]"})
      .Groups("fleet", &ScenarioText::fleet, FleetOptions(),
              {.prose = "Deployments: GPU types and the number of their endpoints.",
               .example = "{ name: l20, gpu: l20, endpoints: 4 }",
               .required = true})
      .Groups("workload", &ScenarioText::workload, ClassOptions(),
              {.prose = "The classes of requests.",
               .example = "{ name: chat, rate: 7, lengths: sharegpt }",
               .required = true})
      .Groups("tenants", &ScenarioText::tenants, config::TenantOptions(),
              {.prose = "Tenants whose weight is not 1.", .example = "{ name: team-a, weight: 2 }"})
      .Groups("variants", &ScenarioText::variants, VariantOptions(),
              {.prose = "More to compare: policies that know more or less.",
               .example = "{ name: slo-exact, policy: slo, length: exact }"})
      .Groups("faults", &ScenarioText::faults, EndpointFaultOptions(),
              {.prose = "Faults of endpoints during the run.",
               .example = "{ at: 5m, kind: lost, deployment: l20 }",
               .former_name = kFormerFaults});
}

}  // namespace headrace::scenario
