#include "store/redis.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "system/clock.h"

namespace headrace::store {
namespace {

// Of a pipeline, so that neither side has to hold a thousand large values at once.
constexpr std::size_t kPipelined = 128;
// Timeouts for all responses together: each may be in time and yet the last much too late.
constexpr double kMostTimeouts = 10;
constexpr const char* kNoResponse = "no response in time";

timeval ToTimeval(Seconds seconds) {
  const double whole = std::floor(seconds);
  return {static_cast<time_t>(whole), static_cast<suseconds_t>((seconds - whole) * 1e6)};
}

std::string_view TextOf(const redisReply& reply) { return {reply.str, reply.len}; }

// The fix, for the sentence about Redis's refusal.
std::string FixOf(std::string_view refusal) {
  if (refusal.starts_with("NOAUTH")) return "give the URL a password";
  if (refusal.starts_with("WRONGPASS")) return "correct the URL's user and password";
  if (refusal.starts_with("ERR DB index")) return "correct the URL's database number";
  if (refusal.starts_with("ERR AUTH")) return "take the password out of the URL or set it in Redis";
  if (refusal.starts_with("NOPERM")) return "allow it to the URL's user";
  if (refusal.starts_with("OOM")) return "raise Redis's maxmemory";
  if (refusal.starts_with("READONLY")) return "name the primary in the URL";
  if (refusal.starts_with("WRONGTYPE")) return "delete the key and write it again";
  if (refusal.starts_with("LOADING")) return "wait until it has read its data";
  if (refusal.starts_with("MOVED") || refusal.starts_with("CLUSTERDOWN")) {
    return "name a Redis in the URL that is not a cluster";
  }
  return "see Redis's log";
}

// A response to GET that says nothing about other keys.
bool IsOfOneKey(std::string_view refusal) {
  return refusal.starts_with("WRONGTYPE") || refusal.starts_with("NOPERM");
}

}  // namespace

void Redis::Freer::operator()(redisContext* context) const { redisFree(context); }
void Redis::Freer::operator()(redisReply* reply) const { freeReplyObject(reply); }

Redis::Redis(RedisUrl url, Seconds timeout) : url_(std::move(url)), timeout_(timeout) {}
Redis::~Redis() = default;
Redis::Redis(Redis&&) noexcept = default;

tl::unexpected<Error> Redis::Lost(std::string why) {
  if (!context_) {
    why = "out of memory";
  } else if (why.empty()) {
    // hiredis reports a write that timed out as EAGAIN's words.
    const bool timed_out =
        context_->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
    why = timed_out ? kNoResponse : context_->errstr;
  }
  tls_.reset();
  context_.reset();
  return Fail(url_.Name() + ": Redis cannot be reached (" + why +
              "); see that it runs there or correct the URL.");
}

Result<void> Redis::Connect() {
  // Between two commands only the end can arrive: Redis closes connections that are idle for long.
  if (context_ && (tls_ ? !tls_->IsQuiet() : IsReadable())) context_.reset();
  if (context_) return {};
  HEADRACE_TRY(Open());
  if (const auto in = LogIn(); !in) {
    context_.reset();
    return in;
  }
  return {};
}

Result<void> Redis::Open() {
  tls_.reset();
  unsent_.clear();
  const timeval timeout = ToTimeval(timeout_);
  context_.reset(url_.socket.empty()
                     ? redisConnectWithTimeout(url_.host.c_str(), url_.port, timeout)
                     : redisConnectUnixWithTimeout(url_.socket.c_str(), timeout));
  if (!context_ || context_->err != 0) return Lost();
  if (redisSetTimeout(context_.get(), timeout) != REDIS_OK) return Lost();
  if (!url_.tls) return {};
  auto tls = RedisTls::Connect(context_->fd, url_);
  if (!tls) return Lost(tls.error().message);
  tls_ = *std::move(tls);
  return {};
}

Result<void> Redis::LogIn() {
  const Result<std::string> password = PasswordOf(url_);
  if (!password) {
    return Fail(url_.Name() + ": the password cannot be read (" + password.error().message +
                "); set it or correct the URL.");
  }
  if (!password->empty()) {
    std::vector<std::string_view> words{"AUTH"};
    if (!url_.user.empty()) words.push_back(url_.user);
    words.push_back(*password);
    HEADRACE_TRY(Command(words));
  }
  // Also for database 0: the first response tells whether a password is needed.
  const std::string database = std::to_string(url_.database);
  HEADRACE_TRY(Command(std::initializer_list<std::string_view>{"SELECT", database}));
  return {};
}

Seconds Redis::Deadline() const { return system::MonotonicNow() + kMostTimeouts * timeout_; }

bool Redis::IsReadable(Seconds within) const {
  if (tls_ && tls_->pending()) return true;
  pollfd readable{context_->fd, POLLIN, 0};
  return poll(&readable, 1, static_cast<int>(std::ceil(within * 1e3))) > 0;
}

void Redis::Append(std::span<const std::string_view> words) {
  std::vector<const char*> texts;
  std::vector<std::size_t> lengths;
  for (const std::string_view word : words) {
    texts.push_back(word.data());
    lengths.push_back(word.size());
  }
  const auto count = static_cast<int>(words.size());
  if (!tls_) {
    redisAppendCommandArgv(context_.get(), count, texts.data(), lengths.data());
    return;
  }
  char* command = nullptr;
  const auto size = redisFormatCommandArgv(&command, count, texts.data(), lengths.data());
  if (size <= 0) return;
  unsent_.append(command, static_cast<std::size_t>(size));
  redisFreeCommand(command);
}

Result<void> Redis::Send(Seconds deadline) {
  if (tls_) {
    if (unsent_.empty()) return {};
    const auto sent = tls_->Write(std::exchange(unsent_, {}));
    if (!sent) return Lost(sent.error().message);
    return {};
  }
  errno = 0;
  for (int sent = 0; sent == 0;) {
    if (redisBufferWrite(context_.get(), &sent) != REDIS_OK) return Lost();
    if (system::MonotonicNow() > deadline) return Lost(kNoResponse);
  }
  return {};
}

Result<void> Redis::Receive() {
  if (!tls_) {
    if (redisBufferRead(context_.get()) != REDIS_OK) return Lost();
    return {};
  }
  std::array<char, 1 << 14> bytes{};
  const auto got = tls_->Read(bytes);
  if (!got) return Lost(got.error().message);
  if (redisReaderFeed(context_->reader, bytes.data(), *got) != REDIS_OK) return Lost();
  return {};
}

// Like redisGetReply, whose timeout restarts with every byte that arrives.
Result<Redis::Reply> Redis::NextReply(Seconds deadline) {
  HEADRACE_TRY(Send(deadline));
  for (;;) {
    void* reply = nullptr;
    if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return Lost();
    if (reply != nullptr) return Reply(static_cast<redisReply*>(reply));
    const Seconds left = deadline - system::MonotonicNow();
    if (left <= 0 || !IsReadable(std::min(left, timeout_))) return Lost(kNoResponse);
    HEADRACE_TRY(Receive());
  }
}

std::string Redis::Refusal(std::string_view command, std::string_view words) const {
  return std::string("Redis refuses ").append(command).append(" (").append(words).append("); ") +
         FixOf(words) + ".";
}

Result<Redis::Reply> Redis::Command(std::span<const std::string_view> words, Seconds deadline) {
  HEADRACE_TRY(Connect());
  Append(words);
  auto reply = NextReply(deadline);
  if (!reply || (*reply)->type != REDIS_REPLY_ERROR) return reply;
  return Fail(url_.Name() + ": " + Refusal(words[0], TextOf(**reply)));
}

Result<std::vector<Redis::Value>> Redis::Get(std::span<const std::string> keys) {
  std::vector<Value> values;
  values.reserve(keys.size());
  const auto deadline = Deadline();
  while (!keys.empty()) {
    HEADRACE_TRY(Connect());
    const auto batch = keys.first(std::min(keys.size(), kPipelined));
    keys = keys.subspan(batch.size());
    for (const std::string& key : batch) {
      Append(std::initializer_list<std::string_view>{"GET", key});
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      HEADRACE_ASSIGN(const Reply reply, NextReply(deadline));
      Value& value = values.emplace_back();
      if (reply->type == REDIS_REPLY_STRING) value.text = TextOf(*reply);
      if (reply->type != REDIS_REPLY_ERROR) continue;
      const std::string_view words = TextOf(*reply);
      value.error = Refusal("GET", words);
      if (IsOfOneKey(words)) continue;
      context_.reset();  // The other responses are still on their way.
      return Fail(url_.Name() + ": " + value.error);
    }
  }
  return values;
}

Result<std::vector<std::string>> Redis::Scan(const std::string& pattern) {
  std::vector<std::string> keys;
  std::string cursor = "0";
  const auto deadline = Deadline();
  do {
    if (system::MonotonicNow() > deadline) {
      return Fail(url_.Name() + ": has too many keys to find " + pattern +
                  " among them; give them a database of their own.");
    }
    const std::initializer_list<std::string_view> words = {"SCAN",  cursor,  "MATCH",
                                                           pattern, "COUNT", "1000"};
    HEADRACE_ASSIGN(const Reply reply, Command(words, deadline));
    if (reply->elements != 2) return Fail(url_.Name() + ": SCAN got no list; is it Redis?");
    cursor = TextOf(*reply->element[0]);
    const redisReply& found = *reply->element[1];
    for (std::size_t i = 0; i < found.elements; ++i) keys.emplace_back(TextOf(*found.element[i]));
  } while (cursor != "0");
  // SCAN may name a key twice.
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

Result<void> Redis::Set(const std::string& key, std::string_view value, int expiry) {
  const std::string seconds = std::to_string(expiry);
  const std::vector<std::string_view> words =
      expiry > 0 ? std::vector<std::string_view>{"SETEX", key, seconds, value}
                 : std::vector<std::string_view>{"SET", key, value};
  return Command(words).map([](const Reply&) {});
}

Result<void> Redis::SetOrMerge(const std::string& key, std::string_view value,
                               std::string_view merge, int expiry) {
  const std::string seconds = std::to_string(expiry);
  HEADRACE_ASSIGN(const Reply set, Command(std::initializer_list<std::string_view>{
                                       "SET", key, value, "NX", "EX", seconds}));
  if (set->type != REDIS_REPLY_NIL) return {};
  const std::string script = "local merge = function(ARGV) " + std::string(merge) +
                             " end; local old = redis.call('GET', KEYS[1]); "
                             "local new = old and merge({old, ARGV[1]}) or ARGV[1]; "
                             "return redis.call('SETEX', KEYS[1], ARGV[2], new)";
  return Command(std::initializer_list<std::string_view>{"EVAL", script, "1", key, value, seconds})
      .map([](const Reply&) {});
}

Result<void> Redis::Delete(const std::string& key) {
  return Command(std::initializer_list<std::string_view>{"DEL", key}).map([](const Reply&) {});
}

Result<void> Redis::Publish(const std::string& channel, std::span<const std::string> messages) {
  HEADRACE_TRY(Connect());
  for (const std::string& message : messages) {
    Append(std::initializer_list<std::string_view>{"PUBLISH", channel, message});
  }
  const auto deadline = Deadline();
  std::string refused;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    HEADRACE_ASSIGN(const Reply reply, NextReply(deadline));
    if (reply->type == REDIS_REPLY_ERROR) refused = Refusal("PUBLISH", TextOf(*reply));
  }
  if (!refused.empty()) return Fail(url_.Name() + ": " + refused);
  return {};
}

Result<void> Redis::Subscribe(const std::string& pattern) {
  return Command(std::initializer_list<std::string_view>{"PSUBSCRIBE", pattern})
      .map([](const Reply&) {});
}

Result<void> Redis::Listen(const std::string& channel) {
  return Command(std::initializer_list<std::string_view>{"SUBSCRIBE", channel})
      .map([](const Reply&) {});
}

Result<std::vector<std::string>> Redis::TakeMessages(Seconds wait) {
  if (!context_) return Fail(url_.Name() + ": not subscribed.");
  std::vector<std::string> messages;
  // At first what came together with the last answer.
  for (bool more = true; more;) {
    for (;;) {
      void* reply = nullptr;
      if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return Lost();
      if (reply == nullptr) break;
      // "message", its channel (before that the pattern, if it is one), and what was said; of what
      // is no message, like the answer to a SUBSCRIBE that a message overtook, the last is a
      // number.
      const Reply message(static_cast<redisReply*>(reply));
      if (message->elements == 0) continue;
      const redisReply& said = *message->element[message->elements - 1];
      if (said.type == REDIS_REPLY_STRING) messages.emplace_back(TextOf(said));
    }
    more = IsReadable(messages.empty() ? wait : 0);
    if (more) HEADRACE_TRY(Receive());
  }
  return messages;
}

}  // namespace headrace::store
