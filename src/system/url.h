// URLs, their queries and percent-encoding (RFC 3986), read by Boost.URL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace::system {

struct QueryParameter {
  std::string name;
  std::string value;  // Empty without a '='.
  bool operator==(const QueryParameter&) const = default;
};

// scheme://[user[:password]@]host[:port][/path][?query], every part decoded.
struct Url {
  std::string scheme;  // In lower case.
  std::string user;
  std::optional<std::string> password;
  std::string host;  // IPv6 without its brackets.
  std::optional<std::uint16_t> port;
  std::string path;  // Empty, or with its slash.
  std::vector<QueryParameter> query;
};

// Errors: what is wrong, as in "the port is not a number", without the text itself, which may hold
// a password. A fragment (#…) is an error.
Result<Url> ParseUrl(std::string_view text);

// What is behind the ? of a URL: "model=org%2Fm&duration=1m". A + stays a +.
Result<std::vector<QueryParameter>> ParseQuery(std::string_view text);

// A text as it is written in a path or a query: "a%2Fb" for "a/b".
std::string PercentEncode(std::string_view text);
// A part of a path as it is meant: "org%2Fmodel" is "org/model". What is no escape stays.
std::string PercentDecoded(std::string_view text);

// True for a path with or without a query, as a request line has them: "/health?full=1".
bool IsPathAndQuery(std::string_view text);

}  // namespace headrace::system
