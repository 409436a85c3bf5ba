#include "serving/model_names.h"

#include <algorithm>
#include <utility>

namespace headrace::serving {
namespace {

// Of one engine: more are no list of models.
constexpr std::size_t kMostListed = 10'000;

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

void ModelNames::Set(Names names) {
  const system::MutexLock lock(mutex_);
  names_ = std::move(names);
}

void ModelNames::SetListed(const std::string& engine,
                           const std::vector<openai::ListedModel>& models) {
  const system::MutexLock lock(mutex_);
  const std::string& engine_name = names_.engine_name.empty() ? name_ : names_.engine_name;
  Listed listed;
  for (const openai::ListedModel& model : models) {
    if (listed.names.size() == kMostListed) break;
    listed.names.push_back(model.id);
    const bool ours = model.parent == engine_name || model.parent == name_;
    if (ours && model.id != name_) listed.adapters.push_back(model.id);
  }
  listed_[engine] = std::move(listed);
}

void ModelNames::KeepListedBy(const std::vector<std::string>& engines) {
  const system::MutexLock lock(mutex_);
  std::erase_if(listed_, [&](const auto& entry) { return !Contains(engines, entry.first); });
}

std::vector<std::string> ModelNames::Configured() const {
  const system::MutexLock lock(mutex_);
  std::vector<std::string> names{name_};
  names.insert(names.end(), names_.aliases.begin(), names_.aliases.end());
  names.insert(names.end(), names_.adapters.begin(), names_.adapters.end());
  return names;
}

std::vector<std::string> ModelNames::Adapters() const {
  const system::MutexLock lock(mutex_);
  std::vector<std::string> adapters = names_.adapters;
  for (const auto& [engine, listed] : listed_) {
    for (const std::string& adapter : listed.adapters) {
      if (!Contains(adapters, adapter) && !Contains(names_.aliases, adapter)) {
        adapters.push_back(adapter);
      }
    }
  }
  return adapters;
}

bool ModelNames::IsListed(std::string_view name) const {
  const system::MutexLock lock(mutex_);
  return std::ranges::any_of(
      listed_, [&](const auto& entry) { return Contains(entry.second.adapters, name); });
}

std::string ModelNames::EngineName() const {
  const system::MutexLock lock(mutex_);
  return names_.engine_name.empty() ? name_ : names_.engine_name;
}

std::optional<std::string> ModelNames::AtEngines(std::string_view name) const {
  const system::MutexLock lock(mutex_);
  const std::string& engine_name = names_.engine_name.empty() ? name_ : names_.engine_name;
  if (name == engine_name || Contains(names_.adapters, name)) return std::nullopt;
  const bool at_engines = name != name_ && std::ranges::any_of(listed_, [&](const auto& entry) {
                            return Contains(entry.second.names, name);
                          });
  if (at_engines) return std::nullopt;
  return engine_name;
}

}  // namespace headrace::serving
