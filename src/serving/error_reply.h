// A response that comes from the gateway instead of an engine.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "openai/error.h"

namespace headrace::serving {

struct ErrorReply {
  openai::ApiError error;
  // AIBrix's header that tells the kind of error (`x-error-…`), `retry-after`, the endpoint.
  std::vector<std::pair<std::string_view, std::string>> headers = {};
};

// An error with one header of AIBrix's that tells its kind.
inline ErrorReply MakeErrorReply(openai::ApiError error, std::string_view header,
                                 std::string value = "true") {
  return {std::move(error), {{header, std::move(value)}}};
}

inline ErrorReply NamesNoModel() {
  return MakeErrorReply(openai::MakeApiError(400, "The request must name a model.", "model"),
                        "x-error-no-model-in-request");
}

inline ErrorReply UnknownModel(std::string_view name) {
  return MakeErrorReply(openai::ModelNotFound(name), "x-error-no-model-backends");
}

}  // namespace headrace::serving
