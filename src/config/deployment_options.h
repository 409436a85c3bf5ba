// A deployment of a model, and its endpoints.
#pragma once

#include "config/config.h"
#include "config/option_group.h"

namespace headrace::config {

OptionGroup<DeploymentConfig> DeploymentOptions();

}  // namespace headrace::config
