#include "system/url.h"

#include <algorithm>
#include <boost/url/encode.hpp>
#include <boost/url/params_encoded_view.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>
#include <boost/url/url_view.hpp>
#include <cctype>
#include <charconv>

namespace headrace::system {
namespace {

std::vector<QueryParameter> ParametersOf(const boost::urls::url_view& url) {
  std::vector<QueryParameter> parameters;
  if (url.encoded_query().empty()) return parameters;  // Boost has one empty parameter in "?".
  for (const auto& parameter : url.encoded_params()) {
    parameters.push_back({parameter.key.decode(), parameter.value.decode()});
  }
  return parameters;
}

}  // namespace

Result<Url> ParseUrl(std::string_view text) {
  const auto parsed = boost::urls::parse_uri(text);
  if (!parsed) {
    return Fail("it is not a valid URL (a special character in it is written as %XX, a % as %25)");
  }
  const boost::urls::url_view& view = *parsed;
  Url url;
  // Boost 1.81 takes what is not a port for a path: "x" of "h:x".
  const bool bad_path = !view.encoded_path().empty() && !view.encoded_path().starts_with('/');
  if (view.has_fragment()) return Fail("there is a # in it; write that as %23");
  if (view.has_port() && (view.port_number() != 0 || view.port() == "0")) {
    url.port = view.port_number();
  } else if (view.has_port()) {
    return Fail("the port is not a number from 0 to 65535");
  }
  if (bad_path) {
    return Fail("the host and port are followed by something other than /, ? or the end");
  }
  url.scheme = view.scheme();
  std::ranges::transform(url.scheme, url.scheme.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  url.user = view.user();
  if (view.has_password()) url.password = view.password();
  url.host = view.host_address();
  url.path = view.path();
  url.query = ParametersOf(view);
  return url;
}

// Not boost::urls::parse_query: in Boost 1.81 its last parameter reads past the end of the text.
Result<std::vector<QueryParameter>> ParseQuery(std::string_view text) {
  const std::string reference = "?" + std::string(text);
  const auto parsed = boost::urls::parse_relative_ref(reference);
  if (!parsed || parsed->has_fragment()) {
    return Fail("the query is not valid (a special character in it is written as %XX)");
  }
  return ParametersOf(*parsed);
}

std::string PercentEncode(std::string_view text) {
  return boost::urls::encode(text, boost::urls::unreserved_chars);
}

bool IsPathAndQuery(std::string_view text) {
  return boost::urls::parse_origin_form(text).has_value();
}

std::string PercentDecoded(std::string_view text) {
  std::string decoded;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned char value = 0;
    const char* digits = text.data() + at + 1;
    if (text[at] == '%' && at + 2 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      decoded += static_cast<char>(value);
      at += 2;
    } else {
      decoded += text[at];
    }
  }
  return decoded;
}

}  // namespace headrace::system
