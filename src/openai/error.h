// OpenAI's error object, for the statuses that the gateway and the emulated engine respond with.
#pragma once

#include <string>
#include <string_view>

namespace headrace::openai {

// What the clients of OpenAI turn into their exceptions: status and the fields of
// {"error": {"message", "type", "param", "code"}}.
struct ApiError {
  int status = 400;
  std::string message;
  std::string type;   // E.g. "invalid_request_error".
  std::string param;  // The field at fault; "" is sent as null.
  std::string code;   // For programs, e.g. "model_not_found"; "" is sent as null.

  std::string ToJson() const;
};

// An error with the type and, where OpenAI has one, the code that belong to its status: 400, 404,
// 408, 409, 413, 429, 431, 500, 502, 503, 504; others by their hundred.
ApiError MakeApiError(int status, std::string message, std::string param = {});
// 404 as OpenAI words it, with code "model_not_found".
ApiError ModelNotFound(std::string_view model);

}  // namespace headrace::openai
