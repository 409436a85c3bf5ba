#include "system/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <nss.h>

#include <charconv>
#include <cstring>

namespace headrace::system {

std::string HostPort::ToString() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<HostPort> ParseHostPort(std::string_view text) {
  const auto fail = [&](std::string_view why) {
    return Fail("address \"" + std::string(text) + "\" " + std::string(why) +
                "; write it as host:port, e.g. 127.0.0.1:8080 or [::1]:8080");
  };
  std::string_view host;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos) return fail("has no closing bracket");
    host = text.substr(1, end - 1);
    in6_addr parsed;
    if (inet_pton(AF_INET6, std::string(host).c_str(), &parsed) != 1) {
      return fail("has no IPv6 address between its brackets");
    }
    port = text.substr(end + 1);
    if (!port.starts_with(':')) return fail("has no port");
    port.remove_prefix(1);
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == text.npos) return fail("has no port");
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.find(':') != host.npos) return fail("is an IPv6 address without brackets");
    for (const char c : host) {
      if (static_cast<unsigned char>(c) <= ' ' || c == '/') return fail("has no valid host name");
    }
  }
  unsigned value = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  if (port.empty() || error != std::errc() || end != port.data() + port.size() || value > 65535) {
    return fail("has no port from 0 to 65535");
  }
  return HostPort{host.empty() ? "0.0.0.0" : std::string(host), static_cast<std::uint16_t>(value)};
}

socklen_t SocketAddress::size() const {
  return family() == AF_INET6 ? sizeof(address_.v6) : sizeof(address_.v4);
}

std::uint16_t SocketAddress::port() const {
  return ntohs(family() == AF_INET6 ? address_.v6.sin6_port : address_.v4.sin_port);
}

std::string SocketAddress::Host() const {
  char text[INET6_ADDRSTRLEN];
  const bool v6 = family() == AF_INET6;
  if (!v6 && family() != AF_INET) return "-";
  const void* address = v6 ? static_cast<const void*>(&address_.v6.sin6_addr)
                           : static_cast<const void*>(&address_.v4.sin_addr);
  return inet_ntop(family(), address, text, sizeof(text)) != nullptr ? text : "-";
}

std::string SocketAddress::ToString() const {
  const std::string host = Host();
  return host == "-" ? host : HostPort{host, port()}.ToString();
}

bool SocketAddress::operator==(const SocketAddress& other) const {
  if (family() != other.family() || port() != other.port()) return false;
  if (family() == AF_INET6) {
    return address_.v6.sin6_scope_id == other.address_.v6.sin6_scope_id &&
           std::memcmp(&address_.v6.sin6_addr, &other.address_.v6.sin6_addr, sizeof(in6_addr)) == 0;
  }
  return address_.v4.sin_addr.s_addr == other.address_.v4.sin_addr.s_addr;
}

std::size_t SocketAddress::Hash() const {
  if (family() == AF_INET6) {
    std::uint64_t halves[2];
    std::memcpy(halves, &address_.v6.sin6_addr, sizeof(halves));
    return (halves[0] * 31 + halves[1]) * 0x9E3779B97F4A7C15 + port();
  }
  return (std::uint64_t{address_.v4.sin_addr.s_addr} << 16 | port()) * 0x9E3779B97F4A7C15;
}

Result<std::vector<SocketAddress>> ResolveAll(const HostPort& address) {
#ifdef HEADRACE_STATIC
  // A program with the C library inside cannot load the resolver's plug-ins of the system it runs
  // on (they want that system's C library), so it asks /etc/hosts and DNS itself, as most do.
  static const int configured = __nss_configure_lookup("hosts", "files dns");
  if (configured != 0) return Fail("the resolver can't be set up; use the package of your system");
#endif
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return Fail("host \"" + address.host + "\" can't be resolved (" + gai_strerror(error) +
                "); check the name, or give the IP address");
  }
  std::vector<SocketAddress> addresses;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
      if (a->ai_family != family) continue;
      if (family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, a->ai_addr, sizeof(v4));
        addresses.emplace_back(v4);
      } else {
        sockaddr_in6 v6;
        std::memcpy(&v6, a->ai_addr, sizeof(v6));
        addresses.emplace_back(v6);
      }
    }
  }
  freeaddrinfo(found);
  if (addresses.empty()) {
    return Fail("host \"" + address.host +
                "\" has neither an IPv4 nor an IPv6 address; give another");
  }
  return addresses;
}

Result<SocketAddress> Resolve(const HostPort& address) {
  HEADRACE_ASSIGN(const auto addresses, ResolveAll(address));
  return addresses.front();
}

}  // namespace headrace::system
