// Addresses to listen on and to connect to.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace::system {

// `host:port` as a person writes it; the host may be a name, an IPv4 or an IPv6 address.
struct HostPort {
  std::string host;  // Without the brackets of `[::1]`.
  std::uint16_t port = 0;

  // As it would be written: brackets around an IPv6 address.
  std::string ToString() const;
  bool operator==(const HostPort&) const = default;
};

// Reads `host:port`, `[::1]:port` and `:port` (all addresses, as 0.0.0.0). Port 0 is allowed: a
// listener then picks a free one.
Result<HostPort> ParseHostPort(std::string_view text);

// A resolved IPv4 or IPv6 address with its port.
class SocketAddress {
 public:
  SocketAddress() { address_.v4 = {}; }
  explicit SocketAddress(const sockaddr_in& address) { address_.v4 = address; }
  explicit SocketAddress(const sockaddr_in6& address) { address_.v6 = address; }

  const sockaddr* data() const { return &address_.any; }
  socklen_t size() const;
  int family() const { return address_.any.sa_family; }
  std::uint16_t port() const;
  // `127.0.0.1` or `::1`; "-" for an address that was never set.
  std::string Host() const;
  // `127.0.0.1:80` or `[::1]:80`; "-" for an address that was never set.
  std::string ToString() const;

  bool operator==(const SocketAddress& other) const;
  std::size_t Hash() const;

 private:
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } address_;
};

// Every address of a name, from the system's resolver: at least one, IPv4 before IPv6 ("localhost"
// is what most engines listen on, as 127.0.0.1). Blocks: for start-up and background threads only.
// Numeric addresses never block.
Result<std::vector<SocketAddress>> ResolveAll(const HostPort& address);

// The first of them.
Result<SocketAddress> Resolve(const HostPort& address);

}  // namespace headrace::system
