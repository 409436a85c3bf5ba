// Where the gateway listens: to clients, to those who look after it, and to Envoy.
#pragma once

#include "config/config.h"
#include "config/option_group.h"

namespace headrace::config {

OptionGroup<ListenerConfig> ListenOptions();
OptionGroup<AdminConfig> AdminOptions();
OptionGroup<ExtProcConfig> ExtProcOptions();

}  // namespace headrace::config
