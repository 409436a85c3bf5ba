// How a connection with TLS is written.
#pragma once

#include <string>

#include "config/config.h"
#include "config/option_group.h"

namespace headrace::config {

// Of connections to a `server`: "engine", "collector".
OptionGroup<TlsConfig> TlsOptions(const std::string& server);

// A certificate and its key: both of a pair, or none. `name` is that of the files in the fix.
void CheckPair(const std::string& certificate, const std::string& key, const YamlNode& node,
               ConfigReader& reader, const std::string& name);

}  // namespace headrace::config
