// The paths of the API, and what a request to each is read as.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "openai/request.h"

namespace headrace::openai {

struct ApiPath {
  std::string_view path;
  ApiKind kind = ApiKind::kOther;
  bool form = false;  // Its body is a form.
};

// All are POST.
std::span<const ApiPath> ApiPaths();
// Null: not one of these.
const ApiPath* FindApiPath(std::string_view path);

// Azure's API: what follows is a path without its "/v1/".
inline constexpr std::string_view kAzureV1Paths = "/openai/v1/";

// A path as engines know it: single slashes and none at the end, without `base` before it ("":
// there is none), and Azure's as the others.
std::string PlainPath(std::string_view path, std::string_view base);

}  // namespace headrace::openai
