// Responses that come from the gateway itself.
#pragma once

#include <string>
#include <string_view>

#include "net/http_server.h"
#include "openai/response.h"
#include "serving/error_reply.h"
#include "serving/request_ids.h"

namespace headrace::gateway {

// The client's request id if it is short and printable, else a new one.
std::string RequestIdOf(const net::HttpExchange& exchange, serving::RequestIds& ids);
// Under AIBrix's name and under the one that OpenAI's clients read.
void AddRequestId(std::string_view request_id, net::ResponseHead& head);

// Adds content type and request id. Of the arguments, only the exchange must outlive the task.
net::Task<void> RespondJson(net::HttpExchange& exchange, net::ResponseHead head, std::string body,
                            std::string_view request_id);
// In the form that the clients of this API understand.
net::Task<void> RespondError(net::HttpExchange& exchange, const serving::ErrorReply& reply,
                             std::string_view request_id,
                             openai::ApiKind kind = openai::ApiKind::kOther);

}  // namespace headrace::gateway
