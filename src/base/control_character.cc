#include "base/control_character.h"

#include <cstddef>

namespace headrace {

bool IsControl(std::string_view character) {
  const auto byte = [character](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  const auto within = [&byte](std::size_t i, int low, int high) {
    return byte(i) >= low && byte(i) <= high;
  };
  switch (character.size()) {
    case 1:
      return IsControl(character[0]);
    case 2:
      return byte(0) == 0xC2 && byte(1) < 0xA0;
    case 3:
      return byte(0) == 0xE2 && ((byte(1) == 0x80 && within(2, 0xA8, 0xAE)) ||
                                 (byte(1) == 0x81 && within(2, 0xA6, 0xA9)));
    default:
      return false;
  }
}

}  // namespace headrace
