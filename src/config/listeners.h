// Which addresses are the same, as far as their texts tell.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"

namespace headrace::config {

// Whether two listeners (`host:port`, `:port`) cannot be open at the same time: the same port, and
// addresses that overlap. Port 0 picks a free one, and a host's name is only like itself.
bool Collide(std::string_view listener, std::string_view other);

// Whether only this machine reaches the listener. A host's name may be anywhere, but `localhost`.
bool IsLoopback(std::string_view listener);

// Whether a running listener with the one can have the certificates of the other. Whether it speaks
// TLS, and whether it asks clients for certificates, its open connections rely on.
bool CanTakeOverTls(const ListenerConfig& running, const ListenerConfig& other);

// Why these pages would be there for people who should not have them, a sentence with the fix.
std::optional<std::string> WhyExposed(const AdminConfig& admin);

// Whether a connection to `endpoint` from the same machine reaches the listener.
bool Reaches(std::string_view endpoint, std::string_view listener);

}  // namespace headrace::config
