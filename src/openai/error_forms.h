// What engines say went wrong, and what clients are told, in the forms of the APIs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "openai/error.h"
#include "openai/request.h"

namespace headrace::openai {

// What an engine said went wrong, in the body of a response whose status says that all is well.
struct EngineError {
  int status = 500;  // That it would have been: 4xx is the client's own fault.
  // It has the form that OpenAI's clients turn into an exception.
  bool understood = false;
};

// The error in the JSON of an event or a response, if it is one: {"error": …}, or an object that
// calls itself one.
std::optional<EngineError> FindError(std::string_view json);

// `error` as the body of a response, in the form that the clients of this API understand.
std::string ErrorBody(ApiKind kind, const ApiError& error);

// The same as the event of a stream that has `events` events.
std::string ErrorEvent(ApiKind kind, const ApiError& error, std::uint64_t events);

}  // namespace headrace::openai
