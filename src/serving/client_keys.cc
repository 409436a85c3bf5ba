#include "serving/client_keys.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace headrace::serving {
namespace {

constexpr std::string_view kBearer = "bearer ";

std::string_view TextOf(std::string_view header, std::string_view value) {
  if (header != "authorization") return value;
  const std::string_view scheme = value.substr(0, kBearer.size());
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (!std::ranges::equal(scheme, kBearer, {}, lower)) return "";
  return Trimmed(value.substr(kBearer.size()));
}

ErrorReply Unknown(std::string message) {
  ErrorReply reply = MakeErrorReply(openai::MakeApiError(401, std::move(message)), "x-error-user");
  reply.headers.emplace_back("www-authenticate", "Bearer");
  return reply;
}

}  // namespace

void ClientKeys::Set(const std::optional<access::KeyFile>& file, Seconds now) {
  const system::MutexLock lock(mutex_);
  ring_.Set(file.value_or(access::KeyFile()), now);
  required_ = file.has_value();
}

tl::expected<ClientKeys::Key, ErrorReply> ClientKeys::Find(const HeaderLookup& header) const {
  if (!required_) return nullptr;
  bool given = false;
  for (const std::string_view name : kKeyHeaders) {
    const std::string_view text = TextOf(name, header(name));
    if (text.empty()) continue;
    given = true;
    const system::MutexLock lock(mutex_);
    if (Key key = ring_.Find(text)) return key;
  }
  if (given) return tl::unexpected(Unknown("The API key is not known here."));
  return tl::unexpected(
      Unknown("An API key is required: send it as `Authorization: Bearer KEY`, or in the header "
              "x-api-key or api-key."));
}

tl::expected<void, ErrorReply> ClientKeys::MayUse(const access::ApiKey& key,
                                                  std::string_view model) {
  if (key.MayUse(model)) return {};
  openai::ApiError error = openai::MakeApiError(
      403, "The API key may not use the model `" + Excerpt(model) + "`.", "model");
  error.code = "model_not_found";
  return tl::unexpected(MakeErrorReply(std::move(error), "x-error-user"));
}

tl::expected<void, ErrorReply> ClientKeys::Begin(const access::ApiKey& key, std::string_view model,
                                                 Tokens prompt, Seconds now) {
  if (auto may = MayUse(key, model); !may) return may;
  std::optional<access::KeyRing::Refusal> refused;
  {
    const system::MutexLock lock(mutex_);
    refused = ring_.Begin(key, prompt, now);
  }
  if (!refused) return {};
  // Not the key's own: the file of keys may have changed since the key was found.
  std::string limit = FormatJsonNumber(refused->limit);
  std::string_view type = "requests";
  std::string_view kind = "x-error-user";
  switch (refused->what) {
    case access::Exceeded::kRequests:
      limit += " requests a minute";
      kind = "x-error-rpm-exceeded";
      break;
    case access::Exceeded::kTokens:
      limit += " tokens a minute";
      type = "tokens";
      kind = "x-error-tpm-exceeded";
      break;
    case access::Exceeded::kInFlight:
      limit += " requests at a time";
      break;
  }
  openai::ApiError error = openai::MakeApiError(
      429, "The API key's limit of " + limit + " is reached; try again later.");
  error.type = type;
  ErrorReply reply = MakeErrorReply(std::move(error), kind);
  reply.headers.emplace_back("retry-after",
                             FormatFixed(std::max(1.0, std::ceil(refused->retry_after)), 0));
  AddLimitHeaders(key, now, [&reply](std::string_view name, std::string value) {
    reply.headers.emplace_back(name, std::move(value));
  });
  return tl::unexpected(std::move(reply));
}

void ClientKeys::End(const access::ApiKey& key, Tokens prompt, std::int64_t tokens, Seconds now) {
  const system::MutexLock lock(mutex_);
  ring_.End(key, prompt, tokens, now);
}

access::KeyUse ClientKeys::Use(const access::ApiKey& key, Seconds now) const {
  const system::MutexLock lock(mutex_);
  return ring_.Use(key, now);
}

std::vector<access::KeySpending> ClientKeys::TakeSpending(bool all) {
  const system::MutexLock lock(mutex_);
  return ring_.TakeSpending(all);
}

void ClientKeys::Hear(const std::string& replica, std::span<const access::KeySpending> spendings,
                      bool all, Seconds now) {
  const system::MutexLock lock(mutex_);
  ring_.Hear(replica, spendings, all, now);
}

void ClientKeys::ForgetSilent(Seconds silence, Seconds now) {
  const system::MutexLock lock(mutex_);
  ring_.ForgetSilent(silence, now);
}

void ClientKeys::SetParts(int parts, Seconds now) {
  const system::MutexLock lock(mutex_);
  ring_.SetParts(parts, now);
}

}  // namespace headrace::serving
