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
#include "store/redis_tls.h"
#include "store/redis_url.h"

struct redisContext;
struct redisReply;

namespace headrace::store {

// Connects on first use, and again after the connection was lost. Blocks while the system resolves
// the host's name, then for at most the timeout to connect, as long again for each pause within a
// response, and ten times as long for all responses together. Errors are one sentence with the
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
  // Keys that match a glob pattern, sorted. Redis checks every key of the database for it.
  Result<std::vector<std::string>> Scan(const std::string& pattern);
  // `expiry` in whole seconds; 0 = never.
  Result<void> Set(const std::string& key, std::string_view value, int expiry = 0);
  // Sets the key if there is none. If there is one, `merge` (Lua) makes its value of what it holds
  // (ARGV[1]) and of `value` (ARGV[2]), at once. `expiry` in whole seconds.
  Result<void> SetOrMerge(const std::string& key, std::string_view value, std::string_view merge,
                          int expiry);
  // No error when there is no such key.
  Result<void> Delete(const std::string& key);
  // To all who listen now, in order.
  Result<void> Publish(const std::string& channel, std::span<const std::string> messages);

  // Makes this a connection that only receives messages: on channels that match the pattern, or on
  // the one of this name.
  Result<void> Subscribe(const std::string& pattern);
  Result<void> Listen(const std::string& channel);
  // What has come since the last call; waits so long for the first of it. An error means that
  // messages may have been lost: subscribe again.
  Result<std::vector<std::string>> TakeMessages(Seconds wait = 0);

  const RedisUrl& url() const { return url_; }

 private:
  struct Freer {
    void operator()(redisContext* context) const;
    void operator()(redisReply* reply) const;
  };
  using Reply = std::unique_ptr<redisReply, Freer>;

  Result<void> Connect();
  // Connect, when there is no connection.
  Result<void> Open();
  Result<void> LogIn();
  void Append(std::span<const std::string_view> words);
  // What was appended, if it goes out by `deadline`.
  Result<void> Send(Seconds deadline);
  // Reads on, for as long as the connection's timeout.
  Result<void> Receive();
  // Whether there is something to read, or will be within the time.
  bool IsReadable(Seconds within = 0) const;
  // When the responses to what is asked now must have arrived.
  Seconds Deadline() const;
  // Fails if the response is an error.
  Result<Reply> Command(std::span<const std::string_view> words) {
    return Command(words, Deadline());
  }
  Result<Reply> Command(std::span<const std::string_view> words, Seconds deadline);
  Result<Reply> NextReply(Seconds deadline);
  // "Redis refuses GET (its words); the fix."
  std::string Refusal(std::string_view command, std::string_view words) const;
  // Drops the connection; `why` when hiredis knows no reason.
  tl::unexpected<Error> Lost(std::string why = "");

  RedisUrl url_;
  Seconds timeout_;
  std::unique_ptr<redisContext, Freer> context_;
  std::optional<RedisTls> tls_;  // Of its socket.
  std::string unsent_;           // With TLS.
};

}  // namespace headrace::store
