#include "config/listeners.h"

#include <arpa/inet.h>

#include <string>

#include "system/address.h"

namespace headrace::config {
namespace {

// A host as the listener's and the endpoint's texts can be compared.
struct Host {
  enum class Kind { kAnyIpv4, kAny, kIpv4, kIpv6, kName };
  Kind kind = Kind::kName;
  std::string text;  // One spelling of each address.

  bool operator==(const Host&) const = default;
  bool IsLoopback() const {
    return kind == Kind::kIpv4 ? text.starts_with("127.") : kind == Kind::kIpv6 && text == "::1";
  }
};

Host HostOf(const std::string& text) {
  if (text == "localhost") return {Host::Kind::kIpv4, "127.0.0.1"};
  in_addr v4;
  in6_addr v6;
  char spelled[INET6_ADDRSTRLEN] = {};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    inet_ntop(AF_INET, &v4, spelled, sizeof(spelled));
    return {v4.s_addr == INADDR_ANY ? Host::Kind::kAnyIpv4 : Host::Kind::kIpv4, spelled};
  }
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    inet_ntop(AF_INET6, &v6, spelled, sizeof(spelled));
    return {IN6_IS_ADDR_UNSPECIFIED(&v6) ? Host::Kind::kAny : Host::Kind::kIpv6, spelled};
  }
  return {Host::Kind::kName, text};
}

// Whether a listener on `host` has the address `other`, too. [::] takes IPv4 as well.
bool Covers(const Host& host, const Host& other) {
  using Kind = Host::Kind;
  if (host == other) return true;
  if (host.kind == Kind::kAny) return other.kind != Kind::kName;
  return host.kind == Kind::kAnyIpv4 && other.kind == Kind::kIpv4;
}

}  // namespace

bool Collide(std::string_view listener, std::string_view other) {
  const auto a = system::ParseHostPort(listener);
  const auto b = system::ParseHostPort(other);
  if (!a || !b || a->port != b->port || a->port == 0) return false;
  const Host host = HostOf(a->host);
  const Host other_host = HostOf(b->host);
  return Covers(host, other_host) || Covers(other_host, host);
}

bool IsLoopback(std::string_view listener) {
  const auto address = system::ParseHostPort(listener);
  return address && HostOf(address->host).IsLoopback();
}

bool CanTakeOverTls(const ListenerConfig& running, const ListenerConfig& other) {
  return running.tls() == other.tls() && running.client_ca.empty() == other.client_ca.empty();
}

std::optional<std::string> WhyExposed(const AdminConfig& admin) {
  const bool asks = !admin.token_file.empty() || !admin.client_ca.empty();
  if (asks || admin.open != AdminConfig::Open::kProbes || IsLoopback(admin.address)) {
    return std::nullopt;
  }
  return "admin (" + admin.address +
         ") is reached from other machines, and asks nobody for a token; write `admin: { address: "
         "\"" +
         admin.address +
         "\", token_file: admin.token }`, or add `client_ca: …`, or `open: metrics` to serve only "
         "probes and metrics there";
}

bool Reaches(std::string_view endpoint, std::string_view listener) {
  const auto from = system::ParseHostPort(endpoint);
  const auto to = system::ParseHostPort(listener);
  if (!from || !to || from->port != to->port || to->port == 0) return false;
  Host host = HostOf(from->host);
  // To connect to any address is to connect to this machine.
  if (host.kind == Host::Kind::kAnyIpv4) host = {Host::Kind::kIpv4, "127.0.0.1"};
  if (host.kind == Host::Kind::kAny) host = {Host::Kind::kIpv6, "::1"};
  const Host at = HostOf(to->host);
  // Of a listener on all addresses only those are known that every machine has.
  return host == at || (host.IsLoopback() && Covers(at, host));
}

}  // namespace headrace::config
