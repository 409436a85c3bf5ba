#include "openai/error.h"

#include <utility>

#include "base/json_writer.h"
#include "base/text.h"

namespace headrace::openai {
namespace {

void WriteTextOrNull(std::string_view name, std::string_view text, JsonWriter& json) {
  json.Key(name);
  if (text.empty()) {
    json.Null();
  } else {
    json.Value(text);
  }
}

}  // namespace

std::string ApiError::ToJson() const {
  JsonWriter json;
  json.BeginObject().Key("error").BeginObject();
  json.Member("message", message).Member("type", type);
  WriteTextOrNull("param", param, json);
  WriteTextOrNull("code", code, json);
  return json.EndObject().EndObject().Take();
}

ApiError MakeApiError(int status, std::string message, std::string param) {
  const auto make = [&](std::string_view type, std::string_view code) {
    return ApiError{status, std::move(message), std::string(type), std::move(param),
                    std::string(code)};
  };
  switch (status) {
    case 401:
      return make("invalid_request_error", "invalid_api_key");
    case 403:
      return make("permission_error", "");
    case 404:
      return make("invalid_request_error", "not_found");
    case 408:
      return make("invalid_request_error", "request_timeout");
    case 413:
      return make("invalid_request_error", "request_too_large");
    case 429:
      return make("rate_limit_error", "rate_limit_exceeded");
    case 500:
      return make("server_error", "internal_error");
    case 502:
      return make("server_error", "bad_gateway");
    case 503:
      return make("server_error", "service_unavailable");
    case 504:
      return make("server_error", "gateway_timeout");
    default:
      return make(status >= 500 ? "server_error" : "invalid_request_error", "");
  }
}

ApiError ModelNotFound(std::string_view model) {
  ApiError error =
      MakeApiError(404, "The model `" + Excerpt(model) + "` does not exist here.", "model");
  error.code = "model_not_found";
  return error;
}

}  // namespace headrace::openai
