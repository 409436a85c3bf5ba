#include "cli/target.h"

#include <sys/resource.h>

#include <string>

namespace headrace::cli {

Result<system::HostPort> ParseTarget(std::string_view text) {
  if (text.starts_with("https://")) {
    return Fail("target \"" + std::string(text) +
                "\": only plain HTTP can be loaded; give http://host:port");
  }
  if (text.starts_with("http://")) text.remove_prefix(7);
  if (text.ends_with('/')) text.remove_suffix(1);
  if (text.ends_with("/v1")) text.remove_suffix(3);
  return system::ParseHostPort(text);
}

void RaiseConnectionLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace headrace::cli
