// Fuzzes the reader of other replicas' batches: what it takes it can write, and reads back the
// same.
#include <cstdint>
#include <cstdlib>

#include "replica/batch.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::replica;
  const auto batch = Decode({reinterpret_cast<const char*>(data), size});
  if (!batch) return 0;
  // Once rounded and brought into bounds, it stays as it is.
  const auto again = Decode(Encode(*batch));
  if (!again || Encode(*again) != Encode(*batch)) std::abort();
  return 0;
}
