// Errors as values. The data path never throws; exceptions are for start-up alone.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace headrace {

// One clear sentence: what is wrong, where, and the fix.
struct Error {
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> Fail(std::string message) {
  return tl::unexpected<Error>(Error{std::move(message)});
}

}  // namespace headrace

// Passes an error on to the caller:
//   HEADRACE_TRY(CheckWorkload(workload));             // A Result<void>, or a value nobody needs.
//   HEADRACE_ASSIGN(const auto rows, Parse(text));     // `rows` is the value itself.
// For any tl::expected, in a function (no coroutine) that returns one with the same error type.
#define HEADRACE_TRY(...)                                         \
  do {                                                            \
    if (auto headrace_result = (__VA_ARGS__); !headrace_result) { \
      return tl::unexpected(std::move(headrace_result).error());  \
    }                                                             \
  } while (false)
#define HEADRACE_ASSIGN(declaration, ...) \
  HEADRACE_ASSIGN_TO(HEADRACE_JOIN(headrace_result_, __LINE__), declaration, __VA_ARGS__)
#define HEADRACE_ASSIGN_TO(result, declaration, ...)             \
  auto result = (__VA_ARGS__);                                   \
  if (!result) return tl::unexpected(std::move(result).error()); \
  declaration = *std::move(result)
#define HEADRACE_JOIN(a, b) HEADRACE_JOIN_TOKENS(a, b)
#define HEADRACE_JOIN_TOKENS(a, b) a##b
