// TLS to a server, as the configuration says.
#pragma once

#include <string>

#include "base/result.h"
#include "config/config.h"
#include "net/tls_peer.h"

namespace headrace::gateway {

// Reads the files that it names. `option`: its path, with which an error begins.
Result<net::TlsContext::Options> ReadTls(const config::TlsConfig& tls, const std::string& option);

}  // namespace headrace::gateway
