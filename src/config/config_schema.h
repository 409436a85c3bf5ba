// All options of the configuration file. Each is declared once, in config_schema.cc or in the
// *_options.cc of its group; its default is in config.h. A new option is a member there and a
// Value() here. A condition on one group is a Rule() of the group; config_rules.h has the others.
#pragma once

#include <span>
#include <string_view>

#include "config/config.h"
#include "config/option_group.h"

namespace headrace::config {

// The root of the tree. `policies` are the names that a model's policy may have.
OptionGroup<Config> ConfigSchema(std::span<const std::string_view> policies);

}  // namespace headrace::config
