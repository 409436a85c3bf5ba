// Why requests went where they went, for people at a terminal.
#pragma once

#include <string>
#include <string_view>

#include "render/terminal.h"

namespace headrace::render {

// What the admin page /explain/{request-id} says: the reason, what was predicted beside what
// happened, the tries that failed, the candidates.
std::string ExplanationText(std::string_view json, const TextStyle& style);

// What the page /explain says: a line per request, the latest first.
std::string RequestsText(std::string_view json, const TextStyle& style);

}  // namespace headrace::render
