#include "gateway/responses.h"

#include <utility>

namespace headrace::gateway {
namespace {

// Keeps head and body until they are sent.
net::Task<void> Send(net::HttpExchange& exchange, net::ResponseHead head, std::string body) {
  co_await exchange.Respond(head, body);
}

}  // namespace

std::string RequestIdOf(const net::HttpExchange& exchange, serving::RequestIds& ids) {
  const std::string_view given = exchange.Header("x-request-id");
  return serving::UsableRequestId(given) ? std::string(given) : ids.Next();
}

void AddRequestId(std::string_view request_id, net::ResponseHead& head) {
  head.Add("request-id", request_id);
  head.Add("x-request-id", request_id);
}

net::Task<void> RespondJson(net::HttpExchange& exchange, net::ResponseHead head, std::string body,
                            std::string_view request_id) {
  head.Add("content-type", "application/json");
  AddRequestId(request_id, head);
  return Send(exchange, std::move(head), std::move(body));
}

net::Task<void> RespondError(net::HttpExchange& exchange, const serving::ErrorReply& reply,
                             std::string_view request_id, openai::ApiKind kind) {
  net::ResponseHead head(reply.error.status);
  for (const auto& [name, value] : reply.headers) head.Add(name, value);
  return RespondJson(exchange, std::move(head), openai::ErrorBody(kind, reply.error), request_id);
}

}  // namespace headrace::gateway
