#include "store/redis_url.h"

#include <charconv>
#include <optional>

#include "system/address.h"
#include "system/url.h"

namespace headrace::store {
namespace {

constexpr int kMostDatabases = 1 << 20;

tl::unexpected<Error> Bad(const std::string& what) {
  return Fail("is no Redis URL: " + what +
              "; write it like redis://user:password@redis-1:6379/0?model=llama2-7b");
}

// The number in "/3"; 0 for "" and "/".
std::optional<int> ParseDatabase(std::string_view path) {
  if (path.size() < 2) return 0;
  int value = 0;
  const char* end = path.data() + path.size();
  const auto [stopped, code] = std::from_chars(path.data() + 1, end, value);
  if (code != std::errc() || stopped != end) return std::nullopt;
  if (value < 0 || value >= kMostDatabases) return std::nullopt;
  return value;
}

}  // namespace

std::string RedisUrl::Name() const {
  const system::HostPort place{host, static_cast<std::uint16_t>(port)};
  return "redis://" + place.ToString() + "/" + std::to_string(database);
}

Result<RedisUrl> ParseRedisUrl(std::string_view text) {
  auto parsed = system::ParseUrl(text);
  if (!parsed) return Bad(parsed.error().message);
  if (parsed->scheme == "rediss") return Bad("TLS is not supported");
  if (parsed->scheme != "redis") return Bad("it does not begin with redis://");
  RedisUrl url;
  url.host = std::move(parsed->host);
  if (url.host.empty()) return Bad("it has no host");
  if (parsed->port) url.port = *parsed->port;
  if (url.port == 0) return Bad("the port is not a number from 1 to 65535");
  if (parsed->password) {
    url.user = std::move(parsed->user);
    url.password = std::move(*parsed->password);
    if (url.password.empty()) return Bad("the password is empty");
  } else {
    url.password = std::move(parsed->user);  // redis://secret@host: a password alone, too.
  }
  const auto database = ParseDatabase(parsed->path);
  if (!database) return Bad("the database is not a number");
  url.database = *database;
  for (system::QueryParameter& parameter : parsed->query) {
    if (parameter.name != "model" || parameter.value.empty() || !url.model.empty()) {
      return Bad("only model=NAME is allowed after the ?");
    }
    url.model = std::move(parameter.value);
  }
  return url;
}

}  // namespace headrace::store
