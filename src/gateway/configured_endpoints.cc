#include "gateway/configured_endpoints.h"

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "discovery/kubernetes_endpoints.h"
#include "discovery/named_endpoints.h"
#include "gateway/client_tls.h"
#include "gateway/engine_access.h"
#include "system/clock.h"
#include "system/http_url.h"

namespace headrace::gateway {
namespace {

// So long is waited for names at first, so that most gateways start with all endpoints.
constexpr Seconds kFirstLook = 1;

// Makes what endpoints share only once: one TLS context costs a megabyte, and pods come and go more
// often than files change. Key files are read again by the health checks.
class AccessMaker {
 public:
  // `path` is the option's, for errors.
  Result<std::shared_ptr<const EngineAccess>> Make(const config::DeploymentConfig& deployment,
                                                   const config::EndpointConfig& endpoint,
                                                   const system::HttpUrl& url,
                                                   const std::string& path) {
    EngineAccess::Options options{.url = url};
    const bool own_key = endpoint.api_key || endpoint.api_key_file;
    const config::AccessConfig& keys =
        own_key ? static_cast<const config::AccessConfig&>(endpoint) : deployment;
    options.api_key = keys.api_key.value_or("");
    options.key_path = keys.api_key_file.value_or("");
    options.headers = endpoint.headers.empty() ? deployment.headers : endpoint.headers;
    options.health_path = endpoint.health_path ? endpoint.health_path : deployment.health_path;
    if (!options.key_path.empty()) {
      auto& known = key_files_[options.key_path];
      if (known == nullptr) {
        auto file = std::make_shared<KeyFile>(options.key_path);
        if (auto read = file->Refresh(); !read) {
          return Fail(path + ".api_key_file: " + read.error().message);
        }
        known = std::move(file);
      }
      options.key_file = known;
    }
    std::shared_ptr<net::TlsPeer> peer;
    if (url.tls) {
      const auto& tls = endpoint.tls ? endpoint.tls : deployment.tls;
      HEADRACE_ASSIGN(const Tls* made, TlsOf(tls.value_or(config::TlsConfig{}), path));
      options.tls = made->options;
      options.server_name = tls && !tls->server_name.empty() ? tls->server_name : url.host.host;
      peer = std::make_shared<net::TlsPeer>(made->context, options.server_name);
    }
    return std::make_shared<const EngineAccess>(std::move(options), std::move(peer));
  }

 private:
  struct Tls {
    net::TlsContext::Options options;
    std::shared_ptr<const net::TlsContext> context;
  };

  // Stays as it is.
  Result<const Tls*> TlsOf(const config::TlsConfig& tls, const std::string& path) {
    std::unique_ptr<Tls>& known = made_[{tls.ca, tls.certificate, tls.key, tls.verify}];
    if (known != nullptr) return known.get();
    auto made = std::make_unique<Tls>();
    HEADRACE_ASSIGN(made->options, ReadTls(tls, path + ".tls"));
    auto context = net::TlsContext::ForClient(made->options);
    if (!context) return Fail(path + ".tls " + context.error().message);
    made->context = *std::move(context);
    known = std::move(made);
    return known.get();
  }

  std::map<std::tuple<std::string, std::string, std::string, bool>, std::unique_ptr<Tls>> made_;
  std::map<std::string, std::shared_ptr<KeyFile>> key_files_;
};

// Of a plain `host:port` nothing has to be known beyond its address.
bool IsPlain(const config::DeploymentConfig& deployment, const config::EndpointConfig& endpoint,
             const system::HttpUrl& url) {
  const auto adds_nothing = [](const config::AccessConfig& access) {
    return !access.api_key && !access.api_key_file && !access.health_path && access.headers.empty();
  };
  return !url.tls && url.base.empty() && adds_nothing(deployment) && adds_nothing(endpoint);
}

// The pods of a model, completed by what the file says of their deployments.
class PodCompleter {
 public:
  PodCompleter(config::ModelConfig declared, std::shared_ptr<AccessMaker> maker)
      : declared_(std::move(declared)), maker_(std::move(maker)) {}

  discovery::DiscoveredDeployment Declare(const std::string& name) const {
    const config::DeploymentConfig deployment = DeclaredOf(declared_, name);
    return {.name = name,
            .max_in_flight = deployment.max_in_flight,
            .max_model_len = deployment.max_model_len,
            .kv_tokens = deployment.kv_tokens,
            .stream_options = deployment.stream_options};
  }

  void Complete(const std::string& name, discovery::DiscoveredEndpoint& endpoint) const {
    const config::DeploymentConfig deployment = DeclaredOf(declared_, name);
    endpoint.weight = deployment.weight.value_or(1);
    auto access = AccessOf(deployment, endpoint.address);
    if (access) {
      endpoint.access = *std::move(access);
    } else {
      endpoint.resolved.reset();
      endpoint.fault = access.error().message;
    }
  }

  // What would fail for every pod.
  Result<void> Check() const {
    for (const config::DeploymentConfig& deployment : declared_.deployments) {
      HEADRACE_TRY(AccessOf(deployment, "127.0.0.1:1"));
    }
    return {};
  }

 private:
  // Null: nothing but the address.
  Result<std::shared_ptr<const EngineAccess>> AccessOf(const config::DeploymentConfig& deployment,
                                                       const std::string& address) const {
    config::EndpointConfig endpoint((deployment.tls ? "https://" : "") + address);
    const auto url = system::ParseHttpUrl(endpoint.url);
    const std::string path = "models[" + declared_.name + "].deployments[" + deployment.name + "]";
    if (!url) return Fail(path + " " + url.error().message);
    if (IsPlain(deployment, endpoint, *url)) return nullptr;
    return maker_->Make(deployment, endpoint, *url, path);
  }

  const config::ModelConfig declared_;
  const std::shared_ptr<AccessMaker> maker_;
};

std::string PathOf(const config::ModelConfig& model, const config::DeploymentConfig& deployment,
                   const config::EndpointConfig& endpoint) {
  return "models[" + model.name + "].deployments[" + deployment.name + "].endpoints[" +
         endpoint.url + "]";
}

Result<discovery::NamedEndpoint> EndpointOf(const config::ModelConfig& model,
                                            const config::DeploymentConfig& deployment,
                                            const config::EndpointConfig& endpoint,
                                            AccessMaker& maker) {
  using Resolve = config::AccessConfig::Resolve;
  const std::string path = PathOf(model, deployment, endpoint);
  const auto url = system::ParseHttpUrl(endpoint.url);
  if (!url) return Fail(path + " " + url.error().message);
  const auto resolve = endpoint.resolve ? endpoint.resolve : deployment.resolve;
  const auto weight = endpoint.weight ? endpoint.weight : deployment.weight;
  discovery::NamedEndpoint named{.url = *url,
                                 .every_address = resolve == Resolve::kAll,
                                 .max_in_flight = endpoint.max_in_flight.value_or(0),
                                 .weight = weight.value_or(1)};
  if (!IsPlain(deployment, endpoint, *url)) {
    HEADRACE_ASSIGN(named.access, maker.Make(deployment, endpoint, *url, path));
  }
  return named;
}

using Deployments = std::vector<discovery::NamedDeployment>;

Result<std::vector<Deployments>> DeploymentsOf(const config::Config& config, AccessMaker& maker) {
  std::vector<Deployments> by_model;
  for (const config::ModelConfig& model : config.models) {
    Deployments& deployments = by_model.emplace_back();
    for (const config::DeploymentConfig& deployment : model.deployments) {
      discovery::NamedDeployment& named = deployments.emplace_back();
      named.name = deployment.name;
      named.max_in_flight = deployment.max_in_flight;
      named.max_model_len = deployment.max_model_len;
      named.kv_tokens = deployment.kv_tokens;
      named.stream_options = deployment.stream_options;
      for (const config::EndpointConfig& endpoint : deployment.endpoints) {
        HEADRACE_ASSIGN(auto added, EndpointOf(model, deployment, endpoint, maker));
        named.endpoints.push_back(std::move(added));
      }
    }
  }
  return by_model;
}

}  // namespace

Result<EndpointSources> ConfiguredSources(const ServedConfig& served) {
  // One for the whole process: what was resolved once is known when another configuration comes.
  static const auto resolver = std::make_shared<discovery::NameResolver>();
  const auto maker = std::make_shared<AccessMaker>();
  HEADRACE_ASSIGN(auto by_model, DeploymentsOf(served.config, *maker));
  EndpointSources sources;
  for (std::size_t i = 0; i < by_model.size(); ++i) {
    auto named = std::make_unique<discovery::NamedEndpoints>(std::move(by_model[i]), resolver);
    const KubernetesOrigin& origin = served.origins[i];
    if (origin.view == nullptr) {
      sources.push_back(std::move(named));
      continue;
    }
    const auto pods = std::make_shared<const PodCompleter>(origin.declared, maker);
    HEADRACE_TRY(pods->Check());
    EndpointSources both;
    both.push_back(std::move(named));
    both.push_back(std::make_unique<discovery::KubernetesEndpoints>(
        origin.view, origin.name_space, origin.model,
        [pods](const std::string& deployment) { return pods->Declare(deployment); },
        [pods](const std::string& deployment, discovery::DiscoveredEndpoint& endpoint) {
          pods->Complete(deployment, endpoint);
        }));
    sources.push_back(std::make_unique<discovery::CombinedEndpoints>(std::move(both)));
  }
  for (const auto& source : sources) source->Refresh(system::MonotonicNow());
  resolver->Wait(kFirstLook);
  for (const auto& source : sources) source->Refresh(system::MonotonicNow());
  return sources;
}

Result<void> CheckEndpoints(const config::Config& config) {
  const auto maker = std::make_shared<AccessMaker>();
  HEADRACE_TRY(DeploymentsOf(config, *maker));
  for (const config::ModelConfig& model : config.models) {
    if (model.kubernetes) HEADRACE_TRY(PodCompleter(model, maker).Check());
  }
  return CheckKubernetes(config);
}

std::vector<std::string> EndpointWarnings(const config::Config& config) {
  std::vector<std::string> warnings;
  for (const config::ModelConfig& model : config.models) {
    for (const config::DeploymentConfig& deployment : model.deployments) {
      for (const config::EndpointConfig& endpoint : deployment.endpoints) {
        const auto& tls = endpoint.tls ? endpoint.tls : deployment.tls;
        if (!tls || tls->verify || !endpoint.url.starts_with("https://")) continue;
        warnings.push_back(PathOf(model, deployment, endpoint) +
                           ".tls.verify is false: anybody on the way can pose as the engine; give "
                           "the engine's CA as `tls: { ca: … }` instead");
      }
    }
  }
  return warnings;
}

}  // namespace headrace::gateway
