// Connects one HTTP exchange with a client to the calls that serve it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/waker.h"
#include "openai/request.h"
#include "serving/served_request.h"

namespace headrace::gateway {

// What a path asks for.
struct ApiCall {
  openai::ApiKind kind = openai::ApiKind::kOther;
  bool form = false;        // Its body is a form.
  std::string target;       // The path and query that engines know it by.
  std::string model;        // Named in the path, for a body that names none.
  std::string response_id;  // Of the response that it is about.
};

// One request's coroutine. What it means is decided in serving::ServedRequest; this moves bytes.
class ProxiedRequest {
 public:
  // What is passed in must outlive it.
  ProxiedRequest(const config::TimeoutsConfig& timeouts, const serving::ServingContext& context,
                 serving::ServingThread& thread, net::HttpClient& client,
                 net::HttpExchange& exchange, bool own_cors, ApiCall api);
  ~ProxiedRequest();

  net::Task<void> Run();

 private:
  struct KeptAnswer {
    net::ResponseHead head;
    std::string body;
  };

  using Scanned = tl::expected<void, serving::ErrorReply>;
  std::optional<Scanned> ScanAtOnce();
  net::Task<Scanned> Scan();
  net::Task<Scanned> UnpackBody();
  serving::ErrorReply Invalid(int status, std::string message);
  net::Task<void> RespondError(const serving::ErrorReply& reply);
  net::Task<void> Forward(const serving::EndpointInfo& endpoint);
  // `first_byte`: when the first byte of its body must have come.
  net::Task<void> Relay(net::HttpCall& call, Seconds first_byte);
  net::Task<void> KeepAnswer(net::HttpCall& call);
  net::Task<void> EndpointFailed(net::CallError error, const net::HttpCall& call);
  net::Task<void> TellFailure(const serving::ErrorReply& reply);
  net::RequestHead MakeRequestHead(const serving::EndpointInfo& endpoint) const;
  net::ResponseHead MakeResponseHead(const net::HttpCall& call, int status) const;
  void StartResponse(const net::HttpCall& call);

  const config::TimeoutsConfig& timeouts_;
  net::HttpClient& client_;
  net::HttpExchange& exchange_;
  const bool own_cors_;  // The gateway answers for other origins itself.
  const ApiCall api_;
  bool unpacked_ = false;
  std::string request_id_;
  serving::ServedRequest request_;
  net::Waker decided_;
  std::optional<serving::ServedRequest::Routed> route_;  // The decision, until it is carried out.
  net::HttpCall* call_ = nullptr;                        // The call under way.
  bool stranded_ = false;                                // It was closed for its endpoint is down.
  std::optional<KeptAnswer> kept_;                       // Of the last endpoint.
};

}  // namespace headrace::gateway
