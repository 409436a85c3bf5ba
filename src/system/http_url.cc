#include "system/http_url.h"

#include <algorithm>
#include <cctype>

#include "system/url.h"

namespace headrace::system {
namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;
constexpr auto kFix = "; write it like engine-3:8000, [::1]:8000 or https://engine-3/base";

}  // namespace

std::string HttpUrl::AuthorityOf(const HostPort& other) const {
  std::string text = other.ToString();
  // The port of the scheme is left out, unless the text would be `host` alone.
  if (other.port == (tls ? kHttpsPort : kHttpPort)) text.erase(text.rfind(':'));
  return text;
}

std::string HttpUrl::With(const HostPort& other) const {
  if (!tls && base.empty()) return other.ToString();
  return (tls ? "https://" : "http://") + AuthorityOf(other) + base;
}

Result<HttpUrl> ParseHttpUrl(std::string_view text) {
  const bool has_scheme = text.find("://") != std::string_view::npos;
  const std::string whole = (has_scheme ? "" : "http://") + std::string(text);
  const auto parsed = ParseUrl(whole);
  if (!parsed) return Fail("is no URL (" + parsed.error().message + ")" + kFix);
  if (parsed->scheme != "http" && parsed->scheme != "https") {
    return Fail("has a scheme that is not known here; write http:// or https://");
  }
  if (!parsed->user.empty() || parsed->password) {
    return Fail(
        "has a user or a password in it; remove that; a key goes into a header, or into `api_key`");
  }
  if (!parsed->query.empty() || whole.find('?') != std::string::npos) {
    return Fail("has a query; remove it from the ? on");
  }
  HttpUrl url;
  url.tls = parsed->scheme == "https";
  if (!has_scheme && !parsed->port) {
    return Fail(std::string("has no port") + kFix);
  }
  url.host = {parsed->host, parsed->port.value_or(url.tls ? kHttpsPort : kHttpPort)};
  if (url.host.host.empty()) return Fail(std::string("has no host") + kFix);
  if (url.host.port == 0)
    return Fail(std::string("has port 0, which nothing can listen on") + kFix);
  std::ranges::transform(url.host.host, url.host.host.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::size_t path = whole.find('/', whole.find("://") + 3);
  if (path != std::string::npos) url.base = whole.substr(path);
  const auto trim = [&url] {
    while (url.base.ends_with('/')) url.base.pop_back();
  };
  trim();
  if (url.base.ends_with("/v1")) url.base.erase(url.base.size() - 3);
  trim();
  return url;
}

}  // namespace headrace::system
