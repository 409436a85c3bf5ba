// Names for requests whose clients gave none.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/random.h"

namespace headrace::serving {

// Whether a client's own name for its request can be kept: short and printable.
bool UsableRequestId(std::string_view id);

// Ids that no other thread, process or replica hands out: 32 hexadecimal digits, from 128 bits of
// entropy. One per thread.
class RequestIds {
 public:
  // The operating system's randomness.
  RequestIds();
  // 32 bits per call.
  explicit RequestIds(const std::function<std::uint32_t()>& entropy);

  std::string Next();

 private:
  // 64 bits of seed each.
  Rng high_;
  Rng low_;
};

}  // namespace headrace::serving
