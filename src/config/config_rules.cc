#include "config/config_rules.h"

#include <string>
#include <tuple>
#include <vector>

#include "config/listeners.h"
#include "config/quantity.h"
#include "system/http_url.h"

namespace headrace::config {
namespace {

// All listeners can begin, and the gateway is none of its own endpoints.
void CheckListeners(const Config& config, const YamlNode& node, ConfigReader& reader) {
  struct Listener {
    const char* name;
    const char* option;  // Of the file itself, that it is in.
    const std::string& address;
  };
  std::vector<Listener> listeners = {{"listen", "listen", config.listen.address},
                                     {"admin", "admin", config.admin.address}};
  if (config.extproc.listen != "none") {
    listeners.push_back({"extproc.listen", "extproc", config.extproc.listen});
    listeners.push_back({"extproc.health", "extproc", config.extproc.health});
  }
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const Listener& one = listeners[i];
      const Listener& other = listeners[j];
      if (!Collide(other.address, one.address)) continue;
      reader.Fault(LineOf(node, one.option), std::string(one.name) + " is the same address as " +
                                                 other.name + " or a part of it (" + one.address +
                                                 " and " + other.address +
                                                 "); give it another port");
    }
  }
  const YamlNode& models = *node.Find("models");
  for (std::size_t m = 0; m < config.models.size(); ++m) {
    if (config.models[m].deployments.empty()) continue;
    const YamlNode& deployments = *models.items[m]->Find("deployments");
    for (std::size_t d = 0; d < config.models[m].deployments.size(); ++d) {
      for (const EndpointConfig& endpoint : config.models[m].deployments[d].endpoints) {
        for (const Listener& listener : listeners) {
          const auto url = system::ParseHttpUrl(endpoint.url);
          if (!url || !Reaches(url->host.ToString(), listener.address)) continue;
          reader.Fault(LineOf(*deployments.items[d], "endpoints"),
                       "models[" + std::to_string(m) + "].deployments[" + std::to_string(d) +
                           "].endpoints names " + Quote(endpoint.url) +
                           ", which is this gateway itself (" + listener.name + " is " +
                           listener.address + "); write the engine's address, or give " +
                           listener.name + " another port");
        }
      }
    }
  }
}

// Redis is given if it is used, and used if it is given.
void CheckRedis(const Config& config, const YamlNode& node, ConfigReader& reader) {
  const bool profiles = config.profiles.source == ProfilesConfig::Source::kRedis;
  if (config.redis && !profiles && !config.request_trace && !config.replicas.share) {
    reader.Fault(LineOf(node, "redis"),
                 "redis is given but not used; set `profiles: { source: redis }`, "
                 "`request_trace: true` or `replicas: { share: true }`, or remove it");
  }
  if (config.redis) return;
  for (const auto& [used, option, text] : {std::tuple{profiles, "profiles", "profiles.source"},
                                           {config.request_trace, "request_trace", "request_trace"},
                                           {config.replicas.share, "replicas", "replicas.share"}}) {
    if (!used) continue;
    reader.Fault(LineOf(node, option), std::string(text) +
                                           " needs Redis; add `redis: redis://redis-1:6379/0` "
                                           "beside it");
  }
}

// At most one.
void CheckDefaultModel(const Config& config, const YamlNode& node, ConfigReader& reader) {
  const YamlNode& models = *node.Find("models");
  const ModelConfig* first = nullptr;
  for (std::size_t i = 0; i < config.models.size(); ++i) {
    if (!config.models[i].is_default) continue;
    if (first != nullptr) {
      reader.Fault(LineOf(*models.items[i], "default"),
                   "models[" + std::to_string(i) + "].default is true, and so is that of '" +
                       first->name + "'; remove one of the two");
    }
    first = &config.models[i];
  }
}

// A request of the largest size can be read and can wait.
void CheckSizes(const Config& config, const YamlNode& node, ConfigReader& reader) {
  if (config.limits.bodies < config.limits.body) {
    reader.Fault(LineOf(node, "limits"),
                 "limits.bodies (" + WriteSize(config.limits.bodies) +
                     ") is less than limits.body (" + WriteSize(config.limits.body) +
                     "), so a request could be too large to ever be read; raise it or lower "
                     "limits.body");
  }
  const YamlNode& models = *node.Find("models");
  for (std::size_t i = 0; i < config.models.size(); ++i) {
    if (config.models[i].queue.max_bytes >= config.limits.body) continue;
    reader.Fault(LineOf(*models.items[i], "queue"),
                 "models[" + std::to_string(i) + "].queue.max_bytes (" +
                     WriteSize(config.models[i].queue.max_bytes) + ") is less than limits.body (" +
                     WriteSize(config.limits.body) +
                     "), so a request could be too large to ever wait; raise it or lower "
                     "limits.body");
  }
}

}  // namespace

void CheckWhole(const Config& config, const YamlNode& node, ConfigReader& reader) {
  CheckListeners(config, node, reader);
  if (const auto exposed = WhyExposed(config.admin)) {
    reader.Fault(LineOf(node, "admin"), *exposed);
  }
  CheckRedis(config, node, reader);
  CheckDefaultModel(config, node, reader);
  CheckSizes(config, node, reader);
}

}  // namespace headrace::config
