// "Did you mean …?"
#pragma once

#include <span>
#include <string_view>

namespace headrace {

// The name that differs least from `text`, if not in more than a third of the text's length: a
// letter that is added, missing or replaced counts one, and so do two neighbours that are swapped;
// case does not count. Else the only one that begins with the text. Else an empty view.
std::string_view NearestName(std::string_view text, std::span<const std::string_view> names);

}  // namespace headrace
