// Unpacks what clients send packed.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace headrace::system {

// Unpacks gzip (RFC 1952) or zlib (RFC 1950), whichever it is, in as many steps as the caller
// wants: a few bytes can unpack to very many.
class Unpacker {
 public:
  enum class Result {
    kDone,
    kFull,    // There is more.
    kBroken,  // It is neither of them, has no end, or something behind it.
  };

  // `packed` must outlive it.
  explicit Unpacker(std::string_view packed);
  ~Unpacker();
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;

  // Appends to `unpacked`, the same in every call, until it has this size.
  Result UnpackTo(std::size_t size, std::string& unpacked);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

}  // namespace headrace::system
