// Where a Redis is, as people write it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::store {

// redis://[user:password@]host[:port][/database][?model=NAME&…], rediss:// the same with TLS, or
// unix://[user:password@]/path/of/the/socket[?db=N&…]
struct RedisUrl {
  std::string host;  // IPv6 without its brackets; empty with a socket.
  int port = 6379;
  std::string user;  // Empty with a password: the password alone is sent.
  std::string password;
  int database = 0;
  std::string model;          // Empty: not given.
  std::string socket;         // The path of a Unix socket; empty: none.
  std::string password_env;   // The environment's variable that holds the password; empty: none.
  std::string password_file;  // The file that does, read at every connection; empty: none.
  bool tls = false;
  // With TLS: who signs the server's certificate; empty: whom the system trusts.
  std::string ca_file;
  // With TLS: shown to a server that asks for one, and its key; empty: none.
  std::string certificate_file;
  std::string key_file;

  // redis://host:port/database, for sentences and status pages: without the password.
  std::string Name() const;
  bool operator==(const RedisUrl&) const = default;
};

// Whether a text begins like such a URL, well written or not.
bool IsRedisUrl(std::string_view text);

// User, password and model may be percent-encoded; special characters in them must be. After the ?
// may be model=, password_env=, password_file= (an absolute path), with TLS ca_file=,
// certificate_file= and key_file= (the same), with a socket db=. Errors: what is wrong and the fix,
// without the text itself, which may hold a password.
Result<RedisUrl> ParseRedisUrl(std::string_view text);

// The password to send; empty: none. Errors are clauses: the variable or the file that has none.
Result<std::string> PasswordOf(const RedisUrl& url);

}  // namespace headrace::store
