// A connection to Redis, for threads that may wait.
#pragma once

#include <chrono>
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

namespace headrace::store {

// Connects when it is first needed, and anew after it was lost. Blocks for as long as the system
// takes to resolve the host's name, then for at most the timeout to connect, as long again whenever
// nothing comes, and ten times as long for all answers together. Errors are one sentence with the
// address, never the password. Not thread-safe.
class Redis {
 public:
  static constexpr Seconds kTimeout = 1;

  explicit Redis(RedisUrl url, Seconds timeout = kTimeout);
  ~Redis();
  Redis(Redis&&) noexcept;

  // What a GET of one key gave.
  struct Value {
    std::optional<std::string> text;  // Absent: no such key, or `error`.
    std::string error;                // Why this key cannot be read: a sentence, or empty.
  };

  // The values of all keys, pipelined. Fails as a whole when no key can be read for now: without a
  // connection, while Redis loads its data, …
  Result<std::vector<Value>> Get(std::span<const std::string> keys);
  // Keys that match a glob pattern, sorted. Redis looks at every key of the database for it.
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

  using Clock = std::chrono::steady_clock;

  Result<void> Connect();
  // When the answers to what is asked now have to be there.
  Clock::time_point Deadline() const;
  // Fails when the answer is an error.
  Result<Reply> Command(std::span<const std::string_view> words) {
    return Command(words, Deadline());
  }
  Result<Reply> Command(std::span<const std::string_view> words, Clock::time_point deadline);
  Result<Reply> NextReply(Clock::time_point deadline);
  // "Redis refuses GET (its words); the mend."
  std::string Refusal(std::string_view command, std::string_view words) const;
  // Drops the connection; `why` when hiredis knows no reason.
  tl::unexpected<Error> Lost(std::string why = "");

  RedisUrl url_;
  Seconds timeout_;
  std::unique_ptr<redisContext, Freer> context_;
};

}  // namespace headrace::store
