#include "config/deployment_options.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/option_form.h"
#include "config/tls_options.h"

namespace headrace::config {
namespace {

// The options that an endpoint and its deployment, for all of its endpoints, have in common.
template <typename T>
OptionGroup<T> WithAccessOptions(OptionGroup<T>&& group) {
  using Resolve = AccessConfig::Resolve;
  std::optional<std::string> T::* const api_key = &T::api_key;
  std::optional<std::string> T::* const api_key_file = &T::api_key_file;
  std::optional<TlsConfig> T::* const tls = &T::tls;
  std::optional<std::string> T::* const health_path = &T::health_path;
  std::vector<std::string> T::* const headers = &T::headers;
  std::optional<double> T::* const weight = &T::weight;
  std::optional<Resolve> T::* const resolve = &T::resolve;
  return std::move(group)
      .Value("api_key", api_key, KeyForm(),
             {.prose = "Sent to the engine as `Authorization: Bearer …`, instead of what the "
                       "client sent.",
              .example = "${ENGINE_KEY}",
              .secret = true})
      .Value("api_key_file", api_key_file, TextForm("path"),
             {.prose = "A file with such a key, relative to this file's folder; it comes before "
                       "`api_key`. It is read again while the gateway runs.",
              .example = "engine.key"})
      .Group("tls", tls, TlsOptions("engine"), "For endpoints whose URL begins with `https://`.")
      .Value("health_path", health_path, UrlPathOrNoneForm(),
             {.prose = "Instead of `health.path`. `none`: engines have no such page; one is up if "
                       "a connection can be made.",
              .example = "/health"})
      .Values("headers", headers, HeaderForm(),
              {.prose = "Headers that are added to requests to the engine, instead of those with "
                        "the same names that the client sent.",
               .example = "[\"X-Team: search\"]",
               .secret = true})
      .Value(
          "weight", weight, NumberForm(0.01, 100),
          {.prose = "How fast an endpoint is, relative to the others of the model: one of weight "
                    "2 gets twice the requests of one of weight 1 from policies that measure no "
                    "speed, and carries twice the load that its profile says. By default 1.",
           .example = "1"})
      .Value(
          "resolve", resolve,
          ChoiceForm<Resolve>({{"first", Resolve::kFirst}, {"all", Resolve::kAll}}),
          {.prose = "What a host name with several addresses is: one endpoint, at the `first` of "
                    "them, or one for each of `all` of them, as for a headless service of "
                    "Kubernetes. Names are looked up again and again. By default `first`.",
           .example = "first"});
}

OptionGroup<EndpointConfig> EndpointOptions() {
  return WithAccessOptions(
             OptionGroup<EndpointConfig>()
                 .Value(
                     "url", &EndpointConfig::url, HttpUrlForm(),
                     {.prose = "Where the engine is: `host:port`, or `http://host[:port][/base]` "
                               "or `https://host[:port][/base]`, with what comes before `/v1` "
                               "in its paths. An engine belongs to one deployment.",
                      .example = "https://engine-3.example/llm",
                      .required = true,
                      .unique = OptionNote::Unique::kInFile})
                 .Value("max_in_flight", &EndpointConfig::max_in_flight, IntegerForm(1, 1'000'000),
                        {.prose = "Most requests in flight there. By default the deployment's.",
                         .example = "64"}))
      .Rule([](const EndpointConfig& endpoint, const YamlNode& node, ConfigReader& reader) {
        if (!endpoint.tls || endpoint.url.starts_with("https://")) return;
        reader.Fault(LineOf(node, "tls"), reader.PathOf("tls") +
                                              " is given, but the URL does not begin with "
                                              "https://; write `url: https://…` or remove it");
      })
      .Alone("url");
}

}  // namespace

OptionGroup<DeploymentConfig> DeploymentOptions() {
  return WithAccessOptions(
             OptionGroup<DeploymentConfig>()
                 .Value(
                     "name", &DeploymentConfig::name, NameForm(),
                     {.prose =
                          "Its name in responses, metrics and the status page, and by default its "
                          "profile's.",
                      .example = "llama2-7b-a10",
                      .required = true,
                      .unique = OptionNote::Unique::kInList})
                 .Value(
                     "profile", &DeploymentConfig::profile, TextForm("name or path"),
                     {.prose =
                          "Its GPU profile: the name of one in the source of profiles "
                          "(`NAME.json`, or "
                          "the key `aibrix:profile_MODEL_NAME`), or, if it contains a slash, the "
                          "path of "
                          "a file relative to this file's folder. By default the profile with the "
                          "deployment's name.",
                      .example = "llama2-7b-a10"})
                 .Value(
                     "max_in_flight", &DeploymentConfig::max_in_flight, IntegerForm(1, 1'000'000),
                     {.prose =
                          "Most requests in flight at one endpoint, even if its load allows more."})
                 .Value(
                     "max_model_len", &DeploymentConfig::max_model_len, IntegerForm(0, 100'000'000),
                     {.prose =
                          "Most tokens of a request's prompt and response together. A request that "
                          "needs more goes to another deployment. `0`: what the engines say in "
                          "`/v1/models`, the smallest number if they differ."})
                 .Value("kv_tokens", &DeploymentConfig::kv_tokens, IntegerForm(0, 1'000'000'000),
                        {.prose = "How many tokens the KV cache of one engine holds: "
                                  "`slo-headroom` predicts "
                                  "by it when a request has to wait for room there. `0`: what the "
                                  "engines say "
                                  "in `/metrics`, the smallest number if they differ."})
                 .Value("stream_options", &DeploymentConfig::stream_options, BooleanForm(),
                        {.prose = "Whether `stream_options: { include_usage: true }` is added to a "
                                  "request for "
                                  "a stream, so that the engine counts its tokens. `false` is for "
                                  "engines that "
                                  "refuse it; without it tokens are counted by the stream's "
                                  "events. Engines "
                                  "that are seen to refuse it are not asked again."}))
      .Groups("endpoints", &DeploymentConfig::endpoints, EndpointOptions(),
              {.prose = "The engines: the URL of each, such as `10.0.0.7:8000`, or a group with "
                        "the URL and options of its own.",
               .example = "127.0.0.1:9001, 127.0.0.1:9002"});
}

}  // namespace headrace::config
