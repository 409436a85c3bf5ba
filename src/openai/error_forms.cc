#include "openai/error_forms.h"

#include <algorithm>
#include <charconv>

#include "base/json_writer.h"
#include "openai/json_text.h"

namespace headrace::openai {
namespace {

// The status that belongs to OpenAI's names for kinds of errors, and to those of vLLM.
int StatusOfName(std::string_view name) {
  if (name.starts_with("invalid") || name == "BadRequestError" || name == "NotFoundError" ||
      name == "context_length_exceeded" || name == "exceed_context_size_error") {
    return 400;
  }
  return name.starts_with("rate_limit") ? 429 : 500;
}

// The status that an error object tells by its code or its type, with the cursor behind its brace.
int StatusIn(JsonCursor& object) {
  int by_name = 500;
  std::string_view key;
  for (bool first = true; object.NextKey(key, first); first = false) {
    if (key != "code" && key != "type" && key != "status_code") {
      object.Skip();
      continue;
    }
    std::string_view text;
    std::int64_t code = 0;
    if (object.Peek() == '"') {
      text = object.String();
      std::from_chars(text.data(), text.data() + text.size(), code);
    } else {
      code = object.Count(599).value_or(0);
    }
    if (code >= 400 && code <= 599) return static_cast<int>(code);
    by_name = std::min(by_name, StatusOfName(text));
  }
  return by_name;
}

std::string_view AnthropicType(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

}  // namespace

std::optional<EngineError> FindError(std::string_view json) {
  JsonCursor cursor(json);
  if (!cursor.Take('{')) return std::nullopt;
  bool is_error = false;
  std::string_view key;
  for (bool first = true; cursor.NextKey(key, first); first = false) {
    if (key == "error" && cursor.Peek() != 'n' && cursor.Peek() != 'f') {
      return EngineError{.status = cursor.Take('{') ? StatusIn(cursor) : 500, .understood = true};
    }
    if ((key == "object" || key == "type") && cursor.Peek() == '"') {
      is_error = is_error || cursor.String() == "error";
    } else {
      cursor.Skip();
    }
  }
  if (!is_error) return std::nullopt;
  JsonCursor object(json);
  object.Take('{');
  return EngineError{.status = StatusIn(object)};
}

std::string ErrorBody(ApiKind kind, const ApiError& error) {
  if (kind != ApiKind::kMessages) return error.ToJson();
  JsonWriter json;
  json.BeginObject().Member("type", "error").Key("error").BeginObject();
  json.Member("type", AnthropicType(error.status)).Member("message", error.message);
  return json.EndObject().EndObject().Take();
}

std::string ErrorEvent(ApiKind kind, const ApiError& error, std::uint64_t events) {
  if (kind == ApiKind::kMessages) return "event: error\ndata: " + ErrorBody(kind, error) + "\n\n";
  if (kind != ApiKind::kResponses) return "data: " + error.ToJson() + "\n\n";
  JsonWriter json;
  json.BeginObject().Member("type", "error");
  json.Member("code", error.code).Member("message", error.message).Key("param").Null();
  json.Member("sequence_number", events).EndObject();
  return "event: error\ndata: " + json.Take() + "\n\n";
}

}  // namespace headrace::openai
