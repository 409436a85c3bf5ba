// The names under which a pool's model is asked for, and that under which its engines know it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "openai/model_list.h"
#include "system/mutex.h"

namespace headrace::serving {

// Thread-safe.
class ModelNames {
 public:
  // `name`: the model's, by which engines are asked until Set says otherwise.
  explicit ModelNames(std::string name) : name_(std::move(name)) {}

  struct Names {
    std::string engine_name;  // Empty: the model's name.
    std::vector<std::string> aliases;
    std::vector<std::string> adapters;
  };
  // Requests are led here by them from the next Pools::Set on.
  void Set(Names names);

  // What an engine lists (its address tells it from others): LoRA adapters of this model, and names
  // of ours that it knows itself.
  void SetListed(const std::string& engine, const std::vector<openai::ListedModel>& models);
  // Forgets what was listed by engines that are none of these.
  void KeepListedBy(const std::vector<std::string>& engines);

  // The name, the aliases, the adapters.
  std::vector<std::string> Configured() const;
  // LoRA adapters: those that are configured, then those that only engines list.
  std::vector<std::string> Adapters() const;
  // An engine lists an adapter of this name.
  bool IsListed(std::string_view name) const;
  // What engines call the model itself.
  std::string EngineName() const;
  // What a request for `name` is to name at the engines; nullopt: the same.
  std::optional<std::string> AtEngines(std::string_view name) const;

 private:
  struct Listed {
    std::vector<std::string> names;  // Of all models there.
    std::vector<std::string> adapters;
  };

  const std::string name_;
  mutable system::Mutex mutex_;
  Names names_ HEADRACE_GUARDED_BY(mutex_);
  std::map<std::string, Listed> listed_ HEADRACE_GUARDED_BY(mutex_);  // By engine.
};

}  // namespace headrace::serving
