// Errors as values. The data path never throws; exceptions are for start-up alone.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace headrace {

// One clear sentence: what is wrong, where, and the mend.
struct Error {
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> Fail(std::string message) {
  return tl::unexpected<Error>(Error{std::move(message)});
}

}  // namespace headrace
