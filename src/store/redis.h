// A connection to Redis, for threads that may wait.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "store/redis_url.h"

struct redisContext;
struct redisReply;

namespace headrace {

// Connects when it is first needed, and anew after it was lost; a command blocks for at most the
// timeout to connect and as long for each answer. Errors are one sentence with the address, never
// the password. Not thread-safe.
class Redis {
 public:
  static constexpr Seconds kTimeout = 1;

  explicit Redis(RedisUrl url, Seconds timeout = kTimeout);
  ~Redis();
  Redis(Redis&&) noexcept;

  // What a GET of one key gave.
  struct Value {
    std::optional<std::string> text;  // Absent: no such key, or `error`.
    std::string error;                // Redis's own words; empty when there is none.
  };

  // The values of all keys, pipelined, in at most ten times the timeout. Fails as a whole only when
  // the connection does.
  Result<std::vector<Value>> Get(std::span<const std::string> keys);
  // Keys that match a glob pattern, sorted.
  Result<std::vector<std::string>> Scan(const std::string& pattern);
  // `expiry` in whole seconds; 0 = never.
  Result<void> Set(const std::string& key, std::string_view value, int expiry = 0);
  // No error when there is no such key.
  Result<void> Delete(const std::string& key);

  // Makes this a connection that only hears of messages on channels that match the pattern.
  Result<void> Subscribe(const std::string& pattern);
  // Whether any message has come since the last call; does not wait. An error means that messages
  // may have been lost: Subscribe again.
  Result<bool> TakeMessages();

  const RedisUrl& url() const { return url_; }

 private:
  struct Freer {
    void operator()(redisContext* context) const;
    void operator()(redisReply* reply) const;
  };
  using Reply = std::unique_ptr<redisReply, Freer>;

  Result<void> Connect();
  // Fails when the answer is an error.
  Result<Reply> Command(std::span<const std::string_view> words);
  Result<Reply> NextReply();
  // Drops the connection; `why` when hiredis knows no reason.
  tl::unexpected<Error> Lost(std::string why = "");

  RedisUrl url_;
  Seconds timeout_;
  std::unique_ptr<redisContext, Freer> context_;
};

}  // namespace headrace
