// A model, and what is written in the same way elsewhere.
#pragma once

#include <span>
#include <string_view>

#include "config/config.h"
#include "config/option_form.h"
#include "config/option_group.h"
#include "slo/slo.h"

namespace headrace::config {

// `policies` are the names that a model's policy may have.
OptionGroup<ModelConfig> ModelOptions(std::span<const std::string_view> policies);

// The latency targets of an SLO, for every place where one can be written.
OptionGroup<slo::Slo> SloOptions();

// The same for a tenant and its weight.
OptionGroup<TenantConfig> TenantOptions();

// A priority: of an objective, or of a scenario's class.
OptionForm<int> PriorityForm();

}  // namespace headrace::config
