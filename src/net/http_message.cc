#include "net/http_message.h"

#include <algorithm>

namespace headrace::net {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

}  // namespace

bool SameButForCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::equal(a.begin(), a.end(), b.begin(),
                    [&](char x, char y) { return x == y || lower(x) == lower(y); });
}

std::string_view FindHeader(const std::vector<HeaderField>& fields, std::string_view name) {
  for (const HeaderField& field : fields) {
    if (SameHeaderName(field.name, name)) return field.value;
  }
  return {};
}

void MessageHead::Add(std::string_view name, std::string_view value) {
  if (SameHeaderName(name, "date")) has_date_ = true;
  // Each search is quick; one for any of the three is not.
  for (const char ends_line : {'\r', '\n', '\0'}) value = value.substr(0, value.find(ends_line));
  const std::size_t at = text_.size();
  text_.resize(at + name.size() + value.size() + 4);
  char* to = text_.data() + at;
  for (const std::string_view part : {name, std::string_view(": "), value, kLineEnd}) {
    to = std::copy(part.begin(), part.end(), to);
  }
}

void MessageHead::Add(std::string_view name, std::uint64_t value) {
  Add(name, std::string_view(std::to_string(value)));
}

ResponseHead::ResponseHead(int status) : status_(status) {
  text_.reserve(512);
  text_.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
  text_.append(ReasonPhrase(status)).append("\r\n");
}

RequestHead::RequestHead(std::string_view method, std::string_view target, std::string_view host)
    : is_head_(method == "HEAD"),
      may_lack_body_(method != "POST" && method != "PUT" && method != "PATCH") {
  text_.reserve(512);
  text_.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
  Add("host", host);
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 424:
      return "Failed Dependency";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 529:
      return "Site Overloaded";
    default:
      return "Unknown";
  }
}

}  // namespace headrace::net
