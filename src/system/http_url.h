// Where an HTTP server is.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "system/address.h"

namespace headrace::system {

// `https://host[:port][/base]`, `http://host[:port][/base]`, or `host:port` alone.
struct HttpUrl {
  bool tls = false;
  HostPort host;     // The host in lower case.
  std::string base;  // Before every path, percent-encoded; empty, or without a slash at its end.

  // As short as it can be written, the same for the same server: `host:port` where that is enough.
  std::string ToString() const { return With(host); }
  // The same at another address.
  std::string With(const HostPort& other) const;
  // The value of the Host header.
  std::string Authority() const { return AuthorityOf(host); }
  bool operator==(const HttpUrl&) const = default;

 private:
  std::string AuthorityOf(const HostPort& other) const;
};

// A `/v1` at the end is left out: the paths of an API begin with it. The error is the rest of a
// sentence about the text, which it does not repeat: that may hold a password.
Result<HttpUrl> ParseHttpUrl(std::string_view text);

}  // namespace headrace::system
