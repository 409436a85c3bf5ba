// How Kubernetes is reached, and which engines of it serve a model.
#pragma once

#include "config/config.h"
#include "config/option_group.h"

namespace headrace::config {

OptionGroup<KubernetesConfig> KubernetesOptions();
OptionGroup<KubernetesSourceConfig> KubernetesSourceOptions();

}  // namespace headrace::config
