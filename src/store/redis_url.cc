#include "store/redis_url.h"

#include <charconv>
#include <optional>

#include "base/percent.h"

namespace headrace::store {
namespace {

constexpr std::string_view kScheme = "redis://";

tl::unexpected<Error> Bad(const std::string& what) {
  return Fail("is no Redis URL: " + what +
              "; write it like redis://user:password@redis-1:6379/0?model=llama2-7b");
}

std::optional<int> ParseWhole(std::string_view text, int low, int high) {
  int value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value < low || value > high) return std::nullopt;
  return value;
}

// Takes the part of `text` from `at` on away and returns it without its first character.
std::string_view CutFrom(std::string_view& text, std::size_t at) {
  if (at == std::string_view::npos) return {};
  const std::string_view rest = text.substr(at + 1);
  text = text.substr(0, at);
  return rest;
}

}  // namespace

std::string RedisUrl::Name() const {
  const bool ipv6 = host.find(':') != std::string::npos;
  return "redis://" + (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port) + "/" +
         std::to_string(database);
}

Result<RedisUrl> ParseRedisUrl(std::string_view text) {
  if (text.starts_with("rediss://")) return Bad("TLS is not supported");
  if (!text.starts_with(kScheme)) return Bad("it does not begin with redis://");
  text.remove_prefix(kScheme.size());
  RedisUrl url;
  // A password may hold anything but what ends it: the last @ before the host, not one in a model.
  if (const std::size_t at = text.rfind('@', text.rfind("?model=")); at != std::string_view::npos) {
    std::string_view user = text.substr(0, at);
    text.remove_prefix(at + 1);
    const std::size_t colon = user.find(':');
    const std::string_view password = CutFrom(user, colon);
    // redis://secret@host: a password alone, too.
    const auto decoded_user = DecodePercent(colon == std::string_view::npos ? "" : user);
    const auto decoded_password = DecodePercent(colon == std::string_view::npos ? user : password);
    if (!decoded_user || !decoded_password) return Bad("the user or password has a broken %XX");
    url.user = *decoded_user;
    url.password = *decoded_password;
    if (url.password.empty()) return Bad("the password is empty");
  }
  if (const std::string_view query = CutFrom(text, text.find('?')); !query.empty()) {
    constexpr std::string_view kModel = "model=";
    const auto model = DecodePercent(query.starts_with(kModel) ? query.substr(kModel.size()) : "");
    if (!model || model->empty() || query.find('&') != std::string_view::npos) {
      return Bad("after ? only model=NAME may stand");
    }
    url.model = *model;
  }
  if (const std::string_view database = CutFrom(text, text.find('/')); !database.empty()) {
    const auto number = ParseWhole(database, 0, 1 << 20);
    if (!number) return Bad("the database is not a number");
    url.database = *number;
  }
  const std::size_t bracket = text.starts_with('[') ? text.find(']') : std::string_view::npos;
  const std::size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    const auto port = ParseWhole(text.substr(colon + 1), 1, 65535);
    if (!port) return Bad("the port is not a number from 1 to 65535");
    url.port = *port;
    text = text.substr(0, colon);
  }
  if (bracket != std::string_view::npos) {
    if (text.back() != ']') return Bad("something stands between ] and the port");
    text = text.substr(1, text.size() - 2);
  }
  if (text.empty() || text.find_first_of(" \t[]") != std::string_view::npos) {
    return Bad("it has no valid host");
  }
  url.host = text;
  return url;
}

}  // namespace headrace::store
