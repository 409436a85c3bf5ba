// "Did you mean …?"
#pragma once

#include <span>
#include <string_view>

namespace headrace::config {

// The name that differs least from `text`, or an empty view if all differ in more than a third of
// the text's length. A letter that is added, missing or replaced counts one, and so do two
// neighbours that are swapped; case does not count.
std::string_view NearestName(std::string_view text, std::span<const std::string_view> names);

}  // namespace headrace::config
