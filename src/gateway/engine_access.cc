#include "gateway/engine_access.h"

#include <algorithm>
#include <tuple>

#include "base/text.h"
#include "net/http_message.h"
#include "system/files.h"

namespace headrace::gateway {
namespace {

constexpr std::size_t kLongestKey = 16384;

std::string_view NameOf(std::string_view header) { return header.substr(0, header.find(':')); }

std::string_view ValueOf(std::string_view header) {
  header.remove_prefix(std::min(header.find(':') + 1, header.size()));
  return Trimmed(header);
}

auto Compared(const net::TlsContext::Options& tls) {
  return std::tie(tls.ca, tls.certificate, tls.key, tls.verify);
}

}  // namespace

Result<void> KeyFile::Refresh() {
  HEADRACE_ASSIGN(const auto text, system::ReadSmallFile(path_, kLongestKey));
  const std::string_view key = Trimmed(text);
  if (key.empty() || std::ranges::any_of(key, [](unsigned char c) { return c <= ' '; })) {
    return Fail(path_ + ": this is no key; write one line with the key alone");
  }
  const system::MutexLock lock(mutex_);
  key_ = key;
  return {};
}

std::string KeyFile::key() const {
  const system::MutexLock lock(mutex_);
  return key_;
}

bool EngineAccess::Equals(const discovery::EndpointAccess& other) const {
  const auto* const same = dynamic_cast<const EngineAccess*>(&other);
  if (same == nullptr) return false;
  const Options& a = options_;
  const Options& b = same->options_;
  return a.url == b.url && a.api_key == b.api_key && a.key_path == b.key_path &&
         a.headers == b.headers && a.health_path == b.health_path &&
         a.server_name == b.server_name && Compared(a.tls) == Compared(b.tls);
}

bool EngineAccess::Replaces(std::string_view header) const {
  if (HasKey() && net::SameHeaderName(header, "authorization")) return true;
  return std::ranges::any_of(options_.headers, [&](std::string_view own) {
    return net::SameHeaderName(header, NameOf(own));
  });
}

void EngineAccess::AddHeaders(net::RequestHead& head) const {
  if (HasKey()) {
    head.Add("authorization",
             "Bearer " + (options_.key_file ? options_.key_file->key() : options_.api_key));
  }
  for (const std::string_view header : options_.headers) head.Add(NameOf(header), ValueOf(header));
}

const EngineAccess* AccessOf(const serving::EndpointInfo& endpoint) {
  // Only the gateway makes such objects.
  return static_cast<const EngineAccess*>(endpoint.access.get());
}

net::Destination DestinationOf(const serving::EndpointInfo& endpoint) {
  const EngineAccess* const access = AccessOf(endpoint);
  return {*endpoint.socket, access == nullptr ? nullptr : access->peer()};
}

net::RequestHead RequestHeadFor(const serving::EndpointInfo& endpoint, std::string_view method,
                                std::string_view target) {
  const EngineAccess* const access = AccessOf(endpoint);
  if (access == nullptr) return {method, target, endpoint.address};
  const std::string& base = access->options().url.base;
  if (base.empty()) return {method, target, access->host()};
  return {method, base + std::string(target), access->host()};
}

}  // namespace headrace::gateway
