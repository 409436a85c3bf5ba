// The frame of every web page.
#pragma once

#include <string>
#include <string_view>

namespace headrace::render {

// One self-contained page, light and dark by the reader's choice. The title is also its heading.
// `style` is CSS added to that of all pages, which sets the fonts, tables and the colours
// --page, --ink, --soft (secondary text), --line and --card.
std::string RenderPage(std::string_view title, std::string_view style, std::string_view body);

}  // namespace headrace::render
