// Who may send requests, by API key.
#pragma once

#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "access/api_key.h"
#include "access/key_ring.h"
#include "base/duration.h"
#include "base/text.h"
#include "base/units.h"
#include "serving/error_reply.h"
#include "serving/header_lookup.h"
#include "system/mutex.h"

namespace headrace::serving {

// Headers that keys come in: OpenAI's, Anthropic's and Azure's.
inline constexpr std::string_view kKeyHeaders[] = {"authorization", "x-api-key", "api-key"};

// How far a key's limits are used. Where keys are required, engines say nothing of the kind.
inline constexpr std::array<std::string_view, 6> kLimitHeaders = {
    "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",   "x-ratelimit-remaining-tokens",   "x-ratelimit-reset-tokens"};

// Thread-safe.
class ClientKeys {
 public:
  using Key = std::shared_ptr<const access::ApiKey>;

  // nullopt: everybody may, and what is in the headers is for the engines.
  void Set(const std::optional<access::KeyFile>& file, Seconds now);
  bool required() const { return required_; }

  // The key of a request, where one is required: null where none is. Else 401.
  tl::expected<Key, ErrorReply> Find(const HeaderLookup& header) const;
  // 403 if the key may not use this model.
  static tl::expected<void, ErrorReply> MayUse(const access::ApiKey& key, std::string_view model);
  // The same; else the request goes on and End follows, or it is
  // above a limit: 429.
  tl::expected<void, ErrorReply> Begin(const access::ApiKey& key, std::string_view model,
                                       Tokens prompt, Seconds now);
  // `tokens`: what its prompt, taken for `prompt` tokens, and its response came to.
  void End(const access::ApiKey& key, Tokens prompt, std::int64_t tokens, Seconds now);

  // --- Of other replicas (ReplicaFeed); see access::KeyRing.
  std::vector<access::KeySpending> TakeSpending(bool all);
  void Hear(const std::string& replica, std::span<const access::KeySpending> spendings, bool all,
            Seconds now);
  void ForgetSilent(Seconds silence, Seconds now);
  void SetParts(int parts, Seconds now);

  // How far the key's limits are used, as OpenAI's clients read it: `add(name, value)`.
  template <typename Add>
  void AddLimitHeaders(const access::ApiKey& key, Seconds now, Add add) const {
    const access::KeyUse use = Use(key, now);
    const auto tell = [&add](const std::optional<access::RateUse>& rate, std::string_view limit,
                             std::string_view remaining, std::string_view reset) {
      if (!rate) return;
      add(limit, std::to_string(std::llround(rate->limit)));
      add(remaining, std::to_string(static_cast<std::int64_t>(rate->remaining)));
      add(reset, WriteDuration(std::ceil(rate->full_after / kMillisecond) * kMillisecond));
    };
    tell(use.requests, "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
         "x-ratelimit-reset-requests");
    tell(use.tokens, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
         "x-ratelimit-reset-tokens");
  }

 private:
  access::KeyUse Use(const access::ApiKey& key, Seconds now) const;

  std::atomic<bool> required_ = false;
  mutable system::Mutex mutex_;
  access::KeyRing ring_ HEADRACE_GUARDED_BY(mutex_);
};

}  // namespace headrace::serving
