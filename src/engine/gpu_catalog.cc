#include "engine/gpu_catalog.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/limits.h"
#include "embedded/gpus.h"

namespace headrace::engine {
namespace {

using Json = nlohmann::json;
using Path = std::vector<std::string>;

constexpr NumberRange kBytes{1, 1e15};
constexpr NumberRange kMemoryMib{1, 1e9};
constexpr NumberRange kContext{2, limits::kMostTokens};
constexpr NumberRange kStepMs{1e-15, 1e6};
constexpr NumberRange kShare{0, 1};  // Of a step's weights that overlaps.

// The line on which the value at `path` begins: each key is searched after its parent's.
std::int64_t LineOf(std::string_view text, const Path& path) {
  std::size_t at = 0;
  for (const std::string& key : path) {
    const std::size_t found = text.find('"' + key + "\":", at);
    if (found == std::string_view::npos) break;
    at = found + key.size() + 3;
  }
  return 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
}

std::string Join(const Path& path) {
  std::string joined;
  for (const std::string& key : path) joined += (joined.empty() ? "" : ".") + key;
  return joined;
}

template <typename Map>
std::string Names(const Map& map) {
  std::string names;
  for (const auto& [name, _] : map) names += (names.empty() ? "" : ", ") + name;
  return names;
}

// Walks the document and keeps the first fault; after one, every getter returns an empty value.
class Reader {
 public:
  Reader(std::string_view text, std::string_view origin) : text_(text), origin_(origin) {}

  void Fault(const Path& path, std::string_view what) {
    if (fault_) return;
    fault_ = std::string(origin_) + " line " + std::to_string(LineOf(text_, path)) + ": " +
             Join(path) + " " + std::string(what);
  }
  const std::optional<std::string>& fault() const { return fault_; }

  const Json& Object(const Json& parent, const Path& path) {
    static const Json kEmpty = Json::object();
    const auto found = parent.find(path.back());
    if (found == parent.end() || !found->is_object()) {
      Fault(path, "is missing or not an object; write it as {…}");
      return kEmpty;
    }
    return *found;
  }

  std::string Text(const Json& parent, const Path& path) {
    const auto found = parent.find(path.back());
    if (found == parent.end() || !found->is_string()) {
      Fault(path, "is missing or not a string; write it as \"…\"");
      return {};
    }
    return found->get<std::string>();
  }

  // The same, or 0 where the key is missing.
  SourcedFigure OptionalFigure(const Json& parent, const Path& path, const NumberRange& range,
                               const Json& sources) {
    return parent.contains(path.back()) ? Figure(parent, path, range, sources) : SourcedFigure{};
  }

  // {"value": number in the range, "source": key of `sources`, "modelled": bool}
  SourcedFigure Figure(const Json& parent, const Path& path, const NumberRange& range,
                       const Json& sources) {
    const Json& object = Object(parent, path);
    const auto value = object.find("value");
    const auto modelled = object.find("modelled");
    if (value == object.end() || !value->is_number() || !(value->get<double>() > 0)) {
      Fault(path, "needs a \"value\" above 0");
      return {};
    }
    if (!range.Contains(value->get<double>())) {
      Fault(path, OutOfBounds(range));
      return {};
    }
    if (modelled == object.end() || !modelled->is_boolean()) {
      Fault(path, "needs \"modelled\": false if the figure was measured or published, else true");
      return {};
    }
    Path source_path = path;
    source_path.emplace_back("source");
    const std::string source = Text(object, source_path);
    const auto prose = sources.find(source);
    if (prose == sources.end() || !prose->is_string()) {
      Fault(source_path, "\"" + source + "\" is not in \"sources\"; add it there");
      return {};
    }
    return {value->get<double>(), prose->get<std::string>(), modelled->get<bool>()};
  }

 private:
  std::string_view text_;
  std::string_view origin_;
  std::optional<std::string> fault_;
};

Path operator/(Path path, std::string key) {
  path.push_back(std::move(key));
  return path;
}

}  // namespace

std::string_view ShippedGpuCatalog() { return std::get<1>(embedded::k_gpus[0]); }

Result<GpuCatalog> GpuCatalog::Parse(std::string_view text, std::string_view origin) {
  Json document;
  try {
    document = Json::parse(text);
  } catch (const Json::parse_error& error) {
    const auto line =
        1 +
        std::count(text.begin(),
                   text.begin() + static_cast<std::ptrdiff_t>(std::min(error.byte, text.size())),
                   '\n');
    return Fail(std::string(origin) + " line " + std::to_string(line) +
                ": is not JSON from here on; fix the syntax");
  }
  if (!document.is_object()) {
    return Fail(std::string(origin) + " line 1: is not a JSON object; see data/gpus.json");
  }

  GpuCatalog catalog;
  Reader reader(text, origin);
  const Json& sources = reader.Object(document, {"sources"});
  if (document.contains("engines")) {
    for (const auto& [name, engine] : reader.Object(document, {"engines"}).items()) {
      const Path at{"engines", name};
      EngineVersion& version = catalog.engines_[name];
      if (!engine.is_object()) reader.Fault(at, "is not an object; write it as {…}");
      version.title = reader.Text(engine, at / "title");
      const Path overhead_at = at / "overhead_ms";
      const Json& overhead = reader.Object(engine, overhead_at);
      version.step_ms = reader.Figure(overhead, overhead_at / "step", kStepMs, sources);
      version.sequence_ms =
          reader.OptionalFigure(overhead, overhead_at / "sequence", kStepMs, sources);
    }
    catalog.default_engine_ = reader.Text(document, {"default_engine"});
    if (!catalog.engines_.contains(catalog.default_engine_)) {
      reader.Fault({"default_engine"},
                   "is not one of \"engines\"; choose one of " + Names(catalog.engines_));
    }
  } else {
    // A file from before engine versions.
    catalog.default_engine_ = "default";
    catalog.engines_["default"].step_ms =
        reader.Figure(document, {"step_overhead_ms"}, kStepMs, sources);
  }
  for (const auto& [name, model] : reader.Object(document, {"models"}).items()) {
    const Path at{"models", name};
    ModelFacts& facts = catalog.models_[name];
    if (!model.is_object()) reader.Fault(at, "is not an object; write it as {…}");
    facts.title = reader.Text(model, at / "title");
    facts.weights_bytes = reader.Figure(model, at / "weights_bytes", kBytes, sources);
    facts.kv_bytes_per_token = reader.Figure(model, at / "kv_bytes_per_token", kBytes, sources);
    facts.activation_bytes = reader.Figure(model, at / "activation_bytes", kBytes, sources);
    facts.context_tokens = reader.Figure(model, at / "context_tokens", kContext, sources);
  }
  for (const auto& [name, gpu] : reader.Object(document, {"gpus"}).items()) {
    const Path at{"gpus", name};
    GpuFacts& facts = catalog.gpus_[name];
    if (!gpu.is_object()) reader.Fault(at, "is not an object; write it as {…}");
    facts.title = reader.Text(gpu, at / "title");
    facts.memory_mib = reader.Figure(gpu, at / "memory_mib", kMemoryMib, sources);
    facts.bandwidth_gb_s = reader.Figure(gpu, at / "bandwidth_gb_s", limits::kMeasured, sources);
    facts.tflops = reader.Figure(gpu, at / "tflops", limits::kMeasured, sources);
    facts.usd_per_hour = reader.Figure(gpu, at / "usd_per_hour", limits::kMeasured, sources);
    const Path steps = at / "step_ms";
    for (const auto& [model, step] : reader.Object(gpu, steps).items()) {
      const Path step_at = steps / model;
      if (!catalog.models_.contains(model)) {
        reader.Fault(step_at, "is not a model of this file; add it to \"models\"");
      }
      if (!step.is_object()) reader.Fault(step_at, "is not an object; write it as {…}");
      facts.step_ms[model] = {
          .a = reader.Figure(step, step_at / "a", kStepMs, sources),
          .b = reader.Figure(step, step_at / "b", kStepMs, sources),
          .c = reader.Figure(step, step_at / "c", kStepMs, sources),
          .d = reader.Figure(step, step_at / "d", kStepMs, sources),
          .e = reader.OptionalFigure(step, step_at / "e", kStepMs, sources),
          .f = reader.OptionalFigure(step, step_at / "f", kStepMs, sources),
          .overlap = reader.OptionalFigure(step, step_at / "overlap", kShare, sources)};
    }
  }
  if (const auto& fault = reader.fault(); fault) return Fail(*fault);
  return catalog;
}

Result<EngineConfig> GpuCatalog::Engine(std::string_view gpu, std::string_view model,
                                        Tokens max_model_len, std::string_view version) const {
  const auto gpu_at = gpus_.find(gpu);
  if (gpu_at == gpus_.end()) {
    return Fail("GPU type \"" + std::string(gpu) + "\" is not known; choose one of " +
                Names(gpus_));
  }
  const auto model_at = models_.find(model);
  if (model_at == models_.end()) {
    return Fail("model \"" + std::string(model) + "\" is not known; choose one of " +
                Names(models_));
  }
  const GpuFacts& card = gpu_at->second;
  const ModelFacts& facts = model_at->second;
  const auto step_at = card.step_ms.find(model);
  if (step_at == card.step_ms.end()) {
    return Fail("there are no step times for " + std::string(model) + " on " + std::string(gpu) +
                "; add gpus." + std::string(gpu) + ".step_ms." + std::string(model));
  }
  const StepFigures& step = step_at->second;
  const auto engine_at = engines_.find(version.empty() ? default_engine_ : version);
  if (engine_at == engines_.end()) {
    return Fail("engine version \"" + std::string(version) + "\" is not known; choose one of " +
                Names(engines_));
  }
  const EngineVersion& engine = engine_at->second;

  EngineConfig config;
  config.step = {.a = step.a.value * kMillisecond,
                 .b = step.b.value * kMillisecond,
                 .c = step.c.value * kMillisecond,
                 .d = step.d.value * kMillisecond,
                 .e = step.e.value * kMillisecond,
                 .overlap = step.overlap.value,
                 .overhead = engine.step_ms.value * kMillisecond,
                 .overhead_per_sequence = (engine.sequence_ms.value + step.f.value) * kMillisecond};
  config.max_model_len =
      max_model_len > 0 ? max_model_len : static_cast<Tokens>(facts.context_tokens.value);
  config.kv_blocks = KvBlocksBeside(card.memory_mib.value * 1024 * 1024, facts.weights_bytes.value,
                                    facts.activation_bytes.value, facts.kv_bytes_per_token.value);
  if (config.kv_blocks == 0) {
    return Fail(facts.title + " does not fit into the memory of one " + card.title +
                "; choose a larger GPU");
  }
  HEADRACE_TRY(CheckEngineConfig(config));
  return config;
}

}  // namespace headrace::engine
