// Where a Redis is, as people write it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::store {

// redis://[user:password@]host[:port][/database][?model=NAME]
struct RedisUrl {
  std::string host;  // IPv6 without its brackets.
  int port = 6379;
  std::string user;  // Empty with a password: the password alone is sent.
  std::string password;
  int database = 0;
  std::string model;  // Empty: not given.

  // redis://host:port/database, for sentences and status pages: without the password.
  std::string Name() const;
  bool operator==(const RedisUrl&) const = default;
};

// User, password and model may be percent-encoded; special characters in them must be. Errors: what
// is wrong and the fix, without the text itself, which may hold a password.
Result<RedisUrl> ParseRedisUrl(std::string_view text);

}  // namespace headrace::store
