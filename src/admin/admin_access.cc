#include "admin/admin_access.h"

#include <arpa/inet.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "base/base64.h"
#include "base/text.h"
#include "config/listeners.h"
#include "net/http_message.h"
#include "system/address.h"
#include "system/files.h"

namespace headrace::admin {
namespace {

using Open = config::AdminConfig::Open;

constexpr std::size_t kLargestFile = std::size_t{64} << 10;
// Nobody guesses what has so many, if they are random.
constexpr std::size_t kShortestToken = 16;

bool IsProbe(std::string_view path) { return path == "/healthz" || path == "/readyz"; }

// Another request of the same kind makes a difference.
bool Changes(const net::HttpExchange& exchange) {
  return (exchange.method() != "GET" && exchange.method() != "HEAD") ||
         exchange.path() == "/debug/record";
}

// A page of another site has sent it, in an operator's browser: browsers say so.
bool IsOfAnotherSite(const net::HttpExchange& exchange) {
  const std::string_view site = exchange.Header("sec-fetch-site");
  if (site == "cross-site" || site == "same-site") return true;
  const std::string_view origin = exchange.Header("origin");
  const std::size_t host = origin.find("://");
  return !origin.empty() &&
         (host == origin.npos || origin.substr(host + 3) != exchange.Header("host"));
}

// What comes behind the scheme's name, in any case; "" if it is another scheme.
std::string_view Credentials(std::string_view header, std::string_view scheme) {
  if (header.size() <= scheme.size() || header[scheme.size()] != ' ' ||
      !net::SameHeaderName(header.substr(0, scheme.size()), scheme)) {
    return {};
  }
  return Trimmed(header.substr(scheme.size()));
}

// A browser's prompt: any user, and the token as the password.
std::string PasswordOf(std::string_view credentials) {
  const std::string decoded = Base64Decoded(credentials).value_or("");
  const std::size_t colon = decoded.find(':');
  return colon == decoded.npos ? std::string() : decoded.substr(colon + 1);
}

std::string HostOf(std::string_view authority) {
  if (authority.starts_with('[')) return std::string(authority.substr(1, authority.find(']') - 1));
  return std::string(authority.substr(0, authority.find(':')));
}

}  // namespace

Result<std::shared_ptr<AdminAccess>> AdminAccess::Load(const config::AdminConfig& config,
                                                       telemetry::StandingFaults& faults,
                                                       telemetry::MetricsRegistry& registry) {
  if (const auto exposed = config::WhyExposed(config)) return Fail(*exposed + ".");
  std::shared_ptr<AdminAccess> access(new AdminAccess(config, {}, faults, registry));
  if (config.token_file.empty()) return access;
  HEADRACE_ASSIGN(auto tokens, ReadTokens(config.token_file));
  const system::MutexLock lock(access->mutex_);
  access->file_.Set(tokens);
  access->tokens_ = std::move(tokens);
  return access;
}

AdminAccess::AdminAccess(const config::AdminConfig& config, Hashes tokens,
                         telemetry::StandingFaults& faults, telemetry::MetricsRegistry& registry)
    : config_(config),
      local_(config::IsLoopback(config.address)),
      faults_(faults),
      refused_(telemetry::AdminRefusals(registry)),
      file_(tokens),
      tokens_(std::move(tokens)) {}

Result<void> AdminAccess::CheckFile(const config::AdminConfig& config) {
  if (!config.token_file.empty()) HEADRACE_TRY(ReadTokens(config.token_file));
  return {};
}

Result<AdminAccess::Hashes> AdminAccess::ReadTokens(const std::string& file) {
  HEADRACE_TRY(access::CheckKeyHash());
  HEADRACE_ASSIGN(const std::string text, system::ReadSmallFile(file, kLargestFile));
  Hashes tokens;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string_view token = Trimmed(line);
    if (token.empty()) continue;
    if (token.size() < kShortestToken) {
      return Fail(file + ":" + std::to_string(number) + ": a token has at least " +
                  std::to_string(kShortestToken) +
                  " characters; make one by `openssl rand -hex 32`");
    }
    tokens.push_back(access::HashOfKey("", token));
  }
  if (tokens.empty()) {
    return Fail(file + ": has no token; make one by `openssl rand -hex 32 > " + file + "`");
  }
  return tokens;
}

bool AdminAccess::HasToken(const net::HttpExchange& exchange) const {
  const std::string_view header = exchange.Header("authorization");
  std::string token(Credentials(header, "bearer"));
  if (token.empty()) token = PasswordOf(Credentials(header, "basic"));
  const access::KeyHash hash = access::HashOfKey("", token);
  const system::MutexLock lock(mutex_);
  bool found = false;
  for (const access::KeyHash& known : tokens_) found = access::SameHash(known, hash) || found;
  return found;
}

// No other site can have it: an address, or a name that no name server is asked for.
bool AdminAccess::IsOurName(std::string_view authority) const {
  const std::string host = HostOf(authority);
  in6_addr any;
  if (inet_pton(AF_INET, host.c_str(), &any) == 1 || inet_pton(AF_INET6, host.c_str(), &any) == 1) {
    return true;
  }
  const auto configured = system::ParseHostPort(config_.address);
  return host.empty() || host == "localhost" || host.ends_with(".localhost") ||
         (configured && host == configured->host);
}

AdminAccess::Refusal AdminAccess::Refuse(std::string_view reason, int status,
                                         std::string sentence) {
  refused_[reason].Add();
  return {.status = status, .sentence = std::move(sentence)};
}

std::optional<AdminAccess::Refusal> AdminAccess::Refuses(const net::HttpExchange& exchange) {
  const bool asks = !config_.token_file.empty();
  // What a page of another site cannot know, it cannot send.
  if (!asks && config_.client_ca.empty() && local_ && !IsOurName(exchange.Header("host"))) {
    return Refuse("host", 403,
                  "These pages are for this machine, under its address or the name localhost; to "
                  "serve them under another name, give admin a token_file.");
  }
  if (Changes(exchange) && IsOfAnotherSite(exchange)) {
    return Refuse("origin", 403, "A page of another site may not change the gateway.");
  }
  const std::string_view path = exchange.path();
  if (IsProbe(path) || config_.open == Open::kAll) return std::nullopt;
  if (path == "/metrics" && config_.open == Open::kMetrics) return std::nullopt;
  if (asks) {
    if (HasToken(exchange)) return std::nullopt;
    return Refuse("token", 401,
                  "The admin token is required: send it as `Authorization: Bearer TOKEN`, or as "
                  "the password of a browser's prompt.");
  }
  if (local_ || !config_.client_ca.empty()) return std::nullopt;
  return Refuse("closed", 403,
                "Only /healthz, /readyz and /metrics are served here; to see the other pages, give "
                "admin a token_file.");
}

void AdminAccess::Refresh(Seconds now) {
  if (config_.token_file.empty()) return;
  // It may take long, and nobody waits for it.
  const Result<Hashes> tokens = ReadTokens(config_.token_file);
  const system::MutexLock lock(mutex_);
  if (!file_.IsNew(tokens)) return;
  file_.Set(tokens);
  if (tokens) {
    tokens_ = *tokens;
    fault_.clear();
    faults_.Clear("admin token", "the file of admin tokens is in order again", now);
  } else {
    fault_ = tokens.error().message;
    faults_.Raise(telemetry::LogLevel::kError, "admin token",
                  "the admin tokens stay as they were: " + fault_, now);
  }
}

std::vector<gateway::FollowedStatus> AdminAccess::Statuses() const {
  const system::MutexLock lock(mutex_);
  return {{.option = "admin.token_file", .file = config_.token_file, .fault = fault_}};
}

}  // namespace headrace::admin
