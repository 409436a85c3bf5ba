// "Did you mean …?"
#pragma once

#include <span>
#include <string_view>

namespace headrace::config {

// The name that differs least from `text` (letters added, lost, replaced or two neighbours
// swapped, each counting one; case counts nothing), or an empty view when all differ in more than a
// third of the text's length.
std::string_view NearestName(std::string_view text, std::span<const std::string_view> names);

}  // namespace headrace::config
