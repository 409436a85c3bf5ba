// The one escape for HTML and SVG.
#pragma once

#include <string>
#include <string_view>

namespace headrace::render {

// For text between tags and inside quoted attributes.
std::string Escape(std::string_view text);

}  // namespace headrace::render
