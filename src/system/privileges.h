// What this process may do.
#pragma once

#include <cstdint>

namespace headrace::system {

// The first port that needs no privilege (net.ipv4.ip_unprivileged_port_start).
std::uint16_t FirstOpenPort();

// Whether this process may listen on the port, as far as privileges decide.
bool MayListenOn(std::uint16_t port);

}  // namespace headrace::system
