#include "emulator/engine_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <vector>

namespace headrace::emulator {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Labels;
using Buckets = prometheus::Histogram::BucketBoundaries;

// vLLM's own buckets.
const Buckets kFirstTokenBuckets = {0.001, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08, 0.1,
                                    0.25,  0.5,   0.75, 1.0,   2.5,   5.0,   7.5,  10.0,
                                    20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
const Buckets kTokenGapBuckets = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,  0.3,  0.4, 0.5,
                                  0.75, 1.0,   2.5,  5.0,   7.5, 10.0, 20.0, 40.0, 80.0};
const Buckets kRequestBuckets = {0.3,  0.5,   0.8,   1.0,   1.5,   2.0,    2.5,
                                 5.0,  10.0,  15.0,  20.0,  30.0,  40.0,   50.0,
                                 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
const Buckets kIterationBuckets = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};

// 1, 2, 5, 10, 20, 50 … up to the context length.
Buckets LengthBuckets(Tokens most) {
  Buckets buckets;
  for (double decade = 1;; decade *= 10) {
    for (const double step : {1.0, 2.0, 5.0}) {
      if (decade * step > most) return buckets;
      buckets.push_back(decade * step);
    }
  }
}

}  // namespace

struct EngineMetrics::Impl {
  Impl(std::string_view model, const engine::EngineConfig& config)
      : labels{{"engine", "0"}, {"model_name", std::string(model)}},
        lengths(LengthBuckets(config.max_model_len)) {
    Labels geometry = labels;
    geometry["block_size"] = std::to_string(engine::kKvBlockTokens);
    geometry["num_gpu_blocks"] = std::to_string(config.kv_blocks);
    geometry["gpu_memory_utilization"] = std::to_string(engine::kGpuMemoryShare);
    geometry["enable_prefix_caching"] = "False";
    BuildGauge()
        .Name("vllm:cache_config_info")
        .Help("Information of the KV cache configuration.")
        .Register(registry)
        .Add(geometry)
        .Set(1);
  }

  prometheus::Gauge& Gauge(const char* name, const char* help) {
    return BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
  }
  prometheus::Counter& Counter(const char* name, const char* help) {
    return BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
  }
  prometheus::Histogram& Histogram(const char* name, const char* help, const Buckets& buckets) {
    return BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, buckets);
  }

  prometheus::Registry registry;
  Labels labels;
  Buckets lengths;
  prometheus::Gauge& running = Gauge("vllm:num_requests_running", "Requests in the running set.");
  prometheus::Gauge& waiting = Gauge("vllm:num_requests_waiting", "Requests waiting to run.");
  prometheus::Gauge& kv_usage =
      Gauge("vllm:kv_cache_usage_perc", "KV cache usage; 1 is all of it.");
  prometheus::Counter& preemptions =
      Counter("vllm:num_preemptions_total", "Requests preempted for want of KV cache.");
  prometheus::Counter& prompt_tokens =
      Counter("vllm:prompt_tokens_total", "Prefill tokens processed.");
  prometheus::Counter& generation_tokens =
      Counter("vllm:generation_tokens_total", "Tokens generated.");
  prometheus::Family<prometheus::Counter>& success = BuildCounter()
                                                         .Name("vllm:request_success_total")
                                                         .Help("Requests that ended, by why.")
                                                         .Register(registry);
  prometheus::Histogram& first_token =
      Histogram("vllm:time_to_first_token_seconds", "Time to the first token.", kFirstTokenBuckets);
  prometheus::Histogram& token_gap =
      Histogram("vllm:inter_token_latency_seconds", "Time between two tokens.", kTokenGapBuckets);
  prometheus::Histogram& per_token =
      Histogram("vllm:request_time_per_output_token_seconds",
                "Time per output token of a request, the first one excluded.", kTokenGapBuckets);
  prometheus::Histogram& e2e = Histogram("vllm:e2e_request_latency_seconds",
                                         "From arrival to the last token.", kRequestBuckets);
  prometheus::Histogram& prompt_length =
      Histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", lengths);
  prometheus::Histogram& output_length =
      Histogram("vllm:request_generation_tokens", "Output tokens of a request.", lengths);
  prometheus::Histogram& iteration = Histogram(
      "vllm:iteration_tokens_total", "Tokens processed in an engine step.", kIterationBuckets);
  std::uint64_t preemptions_seen = 0;
};

EngineMetrics::EngineMetrics(std::string_view model, const engine::EngineConfig& config)
    : impl_(std::make_unique<Impl>(model, config)) {}

EngineMetrics::~EngineMetrics() = default;

void EngineMetrics::StepMade(const engine::EngineModel::StepReport& report) {
  impl_->prompt_tokens.Increment(report.prefilled);
  impl_->iteration.Observe(report.prefilled + report.decoding);
}

void EngineMetrics::FirstToken(Seconds after_arrival) {
  impl_->generation_tokens.Increment();
  impl_->first_token.Observe(after_arrival);
}

void EngineMetrics::MoreTokens(Tokens tokens, Seconds gap) {
  impl_->generation_tokens.Increment(tokens);
  for (Tokens i = 0; i < tokens; ++i) impl_->token_gap.Observe(gap / tokens);
}

void EngineMetrics::Ended(std::string_view finish_reason) {
  Labels labels = impl_->labels;
  labels["finished_reason"] = std::string(finish_reason);
  impl_->success.Add(labels).Increment();
}

void EngineMetrics::Finished(Tokens prompt, Tokens output, Seconds e2e, Seconds decode) {
  impl_->prompt_length.Observe(prompt);
  impl_->output_length.Observe(output);
  impl_->e2e.Observe(e2e);
  if (output > 1) impl_->per_token.Observe(decode / (output - 1));
}

std::string EngineMetrics::Text(const engine::EngineModel& engine) {
  impl_->running.Set(engine.running());
  impl_->waiting.Set(engine.waiting());
  impl_->kv_usage.Set(engine.kv_usage());
  impl_->preemptions.Increment(static_cast<double>(engine.preemptions() - impl_->preemptions_seen));
  impl_->preemptions_seen = engine.preemptions();
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace headrace::emulator
