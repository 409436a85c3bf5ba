#include "gateway/configured_keys.h"

#include <string>

#include "config/key_file.h"
#include "config/yaml.h"
#include "system/files.h"

namespace headrace::gateway {

Result<std::optional<access::KeyFile>> ConfiguredKeys(const config::Config& config) {
  if (config.api_keys.empty()) return std::nullopt;
  HEADRACE_TRY(access::CheckKeyHash());
  HEADRACE_ASSIGN(const std::string text,
                  system::ReadSmallFile(config.api_keys, config::YamlBounds::kBytes));
  HEADRACE_ASSIGN(access::KeyFile file, config::ReadKeyFile(text, config.api_keys));
  return file;
}

}  // namespace headrace::gateway
