// What has to be right between parts of the configuration file.
#pragma once

#include "config/config.h"
#include "config/config_reader.h"

namespace headrace::config {

void CheckWhole(const Config& config, const YamlNode& node, ConfigReader& reader);

}  // namespace headrace::config
