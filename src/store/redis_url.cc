#include "store/redis_url.h"

#include <charconv>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/text.h"
#include "system/address.h"
#include "system/files.h"
#include "system/url.h"

namespace headrace::store {
namespace {

constexpr int kMostDatabases = 1 << 20;
constexpr std::size_t kMostPasswordBytes = 4096;

tl::unexpected<Error> Bad(const std::string& what) {
  return Fail("is no Redis URL: " + what +
              "; write it like redis://user:password@redis-1:6379/0?model=llama2-7b");
}

std::optional<int> ParseDatabase(std::string_view text) {
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc() || stopped != end) return std::nullopt;
  if (value < 0 || value >= kMostDatabases) return std::nullopt;
  return value;
}

Result<void> TakeParameter(system::QueryParameter& parameter, RedisUrl& url) {
  if (parameter.name == "db" && !url.socket.empty()) {
    const auto database = ParseDatabase(parameter.value);
    if (!database) return Bad("the database is not a number");
    url.database = *database;
    return {};
  }
  std::string* place = nullptr;
  if (parameter.name == "model") place = &url.model;
  if (parameter.name == "password_env") place = &url.password_env;
  if (parameter.name == "password_file") place = &url.password_file;
  if (parameter.name == "ca_file" && url.tls) place = &url.ca_file;
  if (parameter.name == "certificate_file" && url.tls) place = &url.certificate_file;
  if (parameter.name == "key_file" && url.tls) place = &url.key_file;
  if (place == nullptr) {
    return Bad(std::string("only model=NAME, password_env=NAME, password_file=PATH") +
               (url.tls ? ", ca_file=PATH, certificate_file=PATH, key_file=PATH" : "") +
               (url.socket.empty() ? "" : ", db=N") + " are allowed after the ?");
  }
  if (parameter.value.empty() || !place->empty()) {
    return Bad(parameter.name + "= is empty or given twice");
  }
  if (parameter.name.ends_with("_file") && !parameter.value.starts_with('/')) {
    return Bad(parameter.name + " is no absolute path");
  }
  *place = std::move(parameter.value);
  return {};
}

}  // namespace

bool IsRedisUrl(std::string_view text) {
  return text.starts_with("redis://") || text.starts_with("rediss://") ||
         text.starts_with("unix://");
}

std::string RedisUrl::Name() const {
  if (!socket.empty()) return "unix://" + socket + "?db=" + std::to_string(database);
  const system::HostPort place{host, static_cast<std::uint16_t>(port)};
  return (tls ? "rediss://" : "redis://") + place.ToString() + "/" + std::to_string(database);
}

Result<RedisUrl> ParseRedisUrl(std::string_view text) {
  auto parsed = system::ParseUrl(text);
  if (!parsed) return Bad(parsed.error().message);
  RedisUrl url;
  url.tls = parsed->scheme == "rediss";
  if (parsed->scheme == "unix") {
    if (!parsed->host.empty() || parsed->port || parsed->path.size() < 2) {
      return Bad("a socket is written as unix:///path/of/the/socket");
    }
    url.socket = std::move(parsed->path);
  } else if (url.tls || parsed->scheme == "redis") {
    url.host = std::move(parsed->host);
    if (url.host.empty()) return Bad("it has no host");
    if (parsed->port) url.port = *parsed->port;
    if (url.port == 0) return Bad("the port is not a number from 1 to 65535");
    const auto database =
        parsed->path.size() < 2 ? 0 : ParseDatabase(std::string_view(parsed->path).substr(1));
    if (!database) return Bad("the database is not a number");
    url.database = *database;
  } else {
    return Bad("it does not begin with redis://, rediss:// or unix://");
  }
  if (parsed->password) {
    url.user = std::move(parsed->user);
    url.password = std::move(*parsed->password);
    if (url.password.empty()) return Bad("the password is empty");
  } else {
    url.password = std::move(parsed->user);  // redis://secret@host: a password alone, too.
  }
  for (system::QueryParameter& parameter : parsed->query) {
    HEADRACE_TRY(TakeParameter(parameter, url));
  }
  if (url.certificate_file.empty() != url.key_file.empty()) {
    return Bad("certificate_file= and key_file= go together");
  }
  if (!url.password_env.empty() || !url.password_file.empty()) {
    if (!url.password_env.empty() && !url.password_file.empty()) {
      return Bad("the password is given twice");
    }
    if (!url.user.empty()) return Bad("the password is given twice");
    url.user = std::move(url.password);  // redis://user@host: here it is the user.
    url.password.clear();
  }
  return url;
}

Result<std::string> PasswordOf(const RedisUrl& url) {
  if (!url.password_env.empty()) {
    const char* value = std::getenv(url.password_env.c_str());
    if (value != nullptr && *value != '\0') return std::string(value);
    return Fail("the environment has no password in " + url.password_env);
  }
  if (url.password_file.empty()) return url.password;
  HEADRACE_ASSIGN(const std::string text,
                  system::ReadSmallFile(url.password_file, kMostPasswordBytes));
  const std::string_view password = Trimmed(text, "\r\n");
  if (password.empty()) return Fail(url.password_file + " is empty");
  return std::string(password);
}

}  // namespace headrace::store
