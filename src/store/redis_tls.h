// TLS on the socket of a connection to Redis. (hiredis has its own from version 1.0 on, Debian 12
// has 0.14.)
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/redis_url.h"

struct ssl_st;

namespace headrace::store {

// Blocks for as long as the socket's own timeouts say. Not thread-safe.
class RedisTls {
 public:
  // Shakes hands over the socket, which stays the caller's. The server's certificate must be signed
  // by one of the URL's `ca_file` (empty: whom the system trusts) and be for its host. Errors are
  // clauses.
  static Result<RedisTls> Connect(int socket, const RedisUrl& url);

  Result<void> Write(std::string_view bytes);
  // At least one byte, or an error.
  Result<std::size_t> Read(std::span<char> buffer);
  // Whether Read has something without the socket.
  bool pending() const;
  // Whether nothing has come but what TLS tells itself: neither bytes nor the end. Does not block.
  bool IsQuiet();

 private:
  struct Freer {
    void operator()(ssl_st* connection) const;
  };
  explicit RedisTls(ssl_st* connection) : connection_(connection) {}

  std::unique_ptr<ssl_st, Freer> connection_;
};

}  // namespace headrace::store
