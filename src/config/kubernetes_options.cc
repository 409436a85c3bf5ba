#include "config/kubernetes_options.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "config/option_form.h"

namespace headrace::config {
namespace {

OptionForm<KubernetesSourceConfig::Origin> OriginForm() {
  using Kind = KubernetesSourceConfig::Kind;
  using Origin = KubernetesSourceConfig::Origin;
  static constexpr std::string_view kService = "service/";
  static constexpr std::string_view kPool = "inferencepool/";
  OptionForm<Origin> form;
  form.type = "origin";
  form.schema.pattern = "^(pods|service/[a-z0-9.-]+|inferencepool/[a-z0-9.-]+)$";
  form.parse = [](std::string_view text) -> Result<Origin> {
    const auto named = [](std::string_view name) {
      return !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") ==
                                  std::string_view::npos;
    };
    if (text == "pods") return Origin{};
    for (const auto& [start, kind] :
         {std::pair{kService, Kind::kService}, {kPool, Kind::kInferencePool}}) {
      if (!text.starts_with(start) || !named(text.substr(start.size()))) continue;
      return Origin{kind, std::string(text.substr(start.size()))};
    }
    return Fail("names nothing that lists engines; write pods, service/NAME or inferencepool/NAME");
  };
  form.print = [](const Origin& origin) {
    switch (origin.kind) {
      case Kind::kService:
        return std::string(kService) + origin.name;
      case Kind::kInferencePool:
        return std::string(kPool) + origin.name;
      case Kind::kPods:
        break;
    }
    return std::string("pods");
  };
  return form;
}

}  // namespace

OptionGroup<KubernetesConfig> KubernetesOptions() {
  return OptionGroup<KubernetesConfig>()
      .Value("kubeconfig", &KubernetesConfig::kubeconfig, TextForm("path"),
             {.prose = "A file as kubectl has it, relative to this file's folder, for a gateway "
                       "outside of the cluster. Without it: the service account of the pod that "
                       "the gateway runs in.",
              .example = "kubeconfig.yaml"})
      .Value("context", &KubernetesConfig::context, NameForm(),
             {.prose = "The context of that file, if it is not its `current-context`.",
              .example = "staging"})
      .Rule([](const KubernetesConfig& kubernetes, const YamlNode& node, ConfigReader& reader) {
        if (kubernetes.context.empty() || !kubernetes.kubeconfig.empty()) return;
        reader.Fault(LineOf(node, "context"), reader.PathOf("context") +
                                                  " is given without a kubeconfig; add "
                                                  "`kubeconfig: kubeconfig.yaml` or remove it");
      });
}

OptionGroup<KubernetesSourceConfig> KubernetesSourceOptions() {
  using Kind = KubernetesSourceConfig::Kind;
  return OptionGroup<KubernetesSourceConfig>()
      .Value("from", &KubernetesSourceConfig::from, OriginForm(),
             {.prose = "What lists the engines: `pods`; the EndpointSlices of a Service, "
                       "`service/NAME`; or an InferencePool, `inferencepool/NAME`, with its pods "
                       "and target ports, and the InferenceObjectives that name it as "
                       "`objectives`."})
      .Values("namespaces", &KubernetesSourceConfig::namespaces, NameForm(),
              {.prose = "Where it looks; `[\"*\"]`: in all. Without the option: in the gateway's "
                        "own, or that of the kubeconfig's context. Of a model that has a name: "
                        "one.",
               .example = "[inference]"})
      .Value("selector", &KubernetesSourceConfig::selector, TextForm("label selector"),
             {.prose = "With `from: pods`: which of them are engines, as kubectl's `-l` has it. "
                       "Without the option: those whose `label` is the model's name.",
              .example = "app=vllm,tier!=canary"})
      .Value("label", &KubernetesSourceConfig::label, NameForm(),
             {.prose = "The label of pods that says which model they serve."})
      .Value("port_label", &KubernetesSourceConfig::port_label, NameForm(),
             {.prose = "The label of pods that says at which port; it comes before `ports`."})
      .Values("ports", &KubernetesSourceConfig::ports, NameForm(),
              {.prose = "The ports, by number or by name: an endpoint for each, for engines with "
                        "several data-parallel ranks. Without the option: 8000; of a Service, its "
                        "only port. An InferencePool says them itself.",
               .example = "[8000, 8001]"})
      .Rule([](const KubernetesSourceConfig& source, const YamlNode& node, ConfigReader& reader) {
        const auto refuse = [&](const char* option, bool given, std::string_view why) {
          if (!given) return;
          reader.Fault(LineOf(node, option),
                       reader.PathOf(option) + " is given, and " + std::string(why));
        };
        if (source.from.kind == Kind::kPods) return;
        refuse("selector", !source.selector.empty(),
               "`from` does not name pods; remove one of the two");
        refuse("ports", source.from.kind == Kind::kInferencePool && !source.ports.empty(),
               "an InferencePool says its ports itself; remove it");
      });
}

}  // namespace headrace::config
