#include "cli/target.h"

#include <sys/resource.h>

#include <string>

#include "system/url.h"

namespace headrace::cli {

Result<system::HostPort> ParseTarget(std::string_view text) {
  // Without the text, which may hold a password.
  const auto fail = [](const std::string& why) {
    return Fail("can't use the server's URL: " + why + "; write it like http://host:port");
  };
  const bool has_scheme = text.find("://") != std::string_view::npos;
  const auto url = system::ParseUrl(has_scheme ? std::string(text) : "http://" + std::string(text));
  if (!url) return fail(url.error().message);
  if (url->scheme != "http") return fail("only plain HTTP is supported");
  if (!url->user.empty() || url->password) return fail("it must not have a user or a password");
  if (url->host.empty() || !url->port) return fail("it has no host and port");
  const std::string_view path = url->path;
  if (!(path.empty() || path == "/" || path == "/v1" || path == "/v1/") || !url->query.empty()) {
    return fail("only /v1 is allowed behind the port");
  }
  return system::HostPort{url->host, *url->port};
}

void RaiseConnectionLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace headrace::cli
