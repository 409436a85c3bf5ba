#include "net/head_parser.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "net/characters.h"

namespace headrace::net {
namespace {

// More are refused: what a head costs is bounded by more than its bytes.
constexpr std::size_t kMostFields = 256;

std::string_view Trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Takes the next member off a comma-separated list; empty members count.
std::string_view TakeMember(std::string_view& list) {
  const std::size_t comma = std::min(list.find(','), list.size());
  const std::string_view member = Trim(list.substr(0, comma));
  list.remove_prefix(std::min(comma + 1, list.size()));
  return member;
}

// --- Fields

// What all fields together say about the message.
struct Framing {
  int hosts = 0;
  std::string_view host;
  bool close = false;
  bool keep_alive = false;
  bool names_fields = false;  // `Connection` names fields of this hop.
  int lengths = 0;
  bool lengths_agree = true;
  bool coded = false;         // There is a Transfer-Encoding, …
  bool ends_chunked = false;  // … whose last coding is `chunked`, …
  bool other_coding = false;  // … and not the only one.
  bool bad_codings = false;   // An empty one, or one behind `chunked`.
};

bool TakeLength(std::string_view value, Framing& framing, ParsedHead& head) {
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  if (value.empty() || error != std::errc() || end != value.data() + value.size()) return false;
  if (length > std::uint64_t{1} << 62) return false;
  framing.lengths_agree = framing.lengths_agree && head.content_length.value_or(length) == length;
  head.content_length = length;
  ++framing.lengths;
  return true;
}

void TakeCodings(std::string_view value, Framing& framing) {
  framing.coded = true;
  if (value.empty() || value.ends_with(',')) framing.bad_codings = true;
  while (!value.empty()) {
    const std::string_view coding = TakeMember(value);
    if (coding.empty() || framing.ends_chunked) framing.bad_codings = true;
    framing.ends_chunked = SameHeaderName(coding, "chunked");
    if (!framing.ends_chunked) framing.other_coding = true;
  }
}

void TakeConnection(std::string_view value, Framing& framing) {
  while (!value.empty()) {
    const std::string_view option = TakeMember(value);
    if (SameHeaderName(option, "close")) {
      framing.close = true;
    } else if (SameHeaderName(option, "keep-alive")) {
      framing.keep_alive = true;
    } else {
      framing.names_fields = framing.names_fields || !option.empty();
    }
  }
}

// Notes what the field says about framing, and whether it is of this hop only (RFC 9110 §7.6.1), or
// written by each sender itself.
bool TakeField(HeaderField& field, Framing& framing, ParsedHead& head) {
  const auto named = [&](std::string_view name) { return SameHeaderName(field.name, name); };
  bool& here = field.hop_by_hop;
  switch (field.name.size()) {
    case 2:
      here = named("te");
      break;
    case 4:
      if (named("host")) {
        ++framing.hosts;
        framing.host = field.value;
      }
      break;
    case 6:
      here = named("expect");
      if (here) head.expects_continue = SameHeaderName(field.value, "100-continue");
      break;
    case 7:
      here = named("trailer") || named("upgrade");
      break;
    case 10:
      here = named("keep-alive");
      if (named("connection")) {
        here = true;
        TakeConnection(field.value, framing);
      }
      break;
    case 14:
      here = named("content-length");
      if (here) return TakeLength(field.value, framing, head);
      break;
    case 16:
      here = named("proxy-connection");
      break;
    case 17:
      here = named("transfer-encoding");
      if (here) TakeCodings(field.value, framing);
      break;
    case 18:
      here = named("proxy-authenticate");
      break;
    case 19:
      here = named("proxy-authorization");
      break;
    default:
      break;
  }
  return true;
}

// Marks the fields that any `Connection` names. False if it names more than there can be: each is
// looked for among all of them.
bool MarkNamedFields(ParsedHead& head) {
  std::size_t named = 0;
  for (const HeaderField& field : head.fields) {
    if (!SameHeaderName(field.name, "connection")) continue;
    std::string_view options = field.value;
    while (!options.empty()) {
      const std::string_view option = TakeMember(options);
      if (++named > kMostFields) return false;
      for (HeaderField& other : head.fields) {
        if (SameHeaderName(other.name, option)) other.hop_by_hop = true;
      }
    }
  }
  return true;
}

// Takes the field lines and the blank line that ends them. False when one is none: folded, blanks
// before its colon, a control character, a line end that is not CR LF.
bool TakeFields(std::string_view text, Framing& framing, ParsedHead& head) {
  constexpr std::size_t kUsualFields = 16;
  head.fields.reserve(kUsualFields);
  const char* at = text.data();
  const char* const end = at + text.size();  // Behind the blank line.
  while (end - at > 2) {
    const char* const name = at;
    while (at < end && Is(*at, Characters::kToken)) ++at;
    if (at == name || at == end || *at != ':') return false;
    HeaderField field{{name, at}, {}};
    const char* const value = ++at;
    while (at < end && Is(*at, Characters::kValue)) ++at;
    if (end - at < 4 || at[0] != '\r' || at[1] != '\n') return false;
    field.value = Trim({value, at});
    if (head.fields.size() == kMostFields || !TakeField(field, framing, head)) return false;
    head.fields.push_back(field);
    at += 2;
  }
  if (end - at != 2 || at[0] != '\r' || at[1] != '\n') return false;
  if (framing.names_fields && !MarkNamedFields(head)) return false;
  head.keep_alive = !framing.close && (!head.http_1_0 || framing.keep_alive);
  head.chunked = framing.ends_chunked;
  if (head.http_1_0) head.expects_continue = false;
  return true;
}

// "HTTP/1.1": 0 when it is none, else its major version.
int TakeVersion(std::string_view text, ParsedHead& head) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() != 8 || !text.starts_with("HTTP/") || text[6] != '.') return 0;
  if (!digit(text[5]) || !digit(text[7])) return 0;
  head.http_1_0 = text.ends_with("1.0");
  return text[5] == '0' ? 9 : text[5] - '0';  // Nobody speaks HTTP/0.x with heads.
}

// --- Targets

bool IsKnownMethod(std::string_view method) {
  static constexpr std::array<std::string_view, 9> kMethods = {
      "GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"};
  return std::ranges::find(kMethods, method) != kMethods.end();
}

// Makes the target what an origin server is asked (RFC 9112 §3.2). CONNECT's has no such form.
bool TakeTarget(std::string_view target, ParsedHead& head) {
  head.target = target;
  if (target.empty() || head.method == "CONNECT" || !AllAre(target, Characters::kTarget))
    return false;
  if (target.front() == '/') return true;
  if (target == "*") return head.method == "OPTIONS";
  const std::size_t scheme = target.find("://");
  if (scheme == target.npos) return false;
  const std::string_view name = target.substr(0, scheme);
  if (!SameHeaderName(name, "http") && !SameHeaderName(name, "https")) return false;
  target.remove_prefix(scheme + 3);
  const std::size_t path = std::min(target.find_first_of("/?"), target.size());
  if (!IsHost(target.substr(0, path))) return false;
  head.target = target.substr(path);
  if (!head.target.starts_with('/')) {
    head.made_target.assign("/").append(head.target);
    head.target = head.made_target;
  }
  return true;
}

}  // namespace

void ParsedHead::Clear() {
  std::vector<HeaderField> kept = std::move(fields);
  kept.clear();
  *this = {};
  fields = std::move(kept);
}

std::size_t FindHeadEnd(std::string_view bytes, std::size_t searched) {
  // The blank line may have begun in the last three bytes that were searched.
  const std::size_t end = bytes.find("\r\n\r\n", searched < 3 ? 0 : searched - 3);
  return end == bytes.npos ? 0 : end + 4;
}

bool HasBareLineFeed(std::string_view bytes, std::size_t searched) {
  for (std::size_t at = searched; (at = bytes.find('\n', at)) != bytes.npos; ++at) {
    if (at == 0 || bytes[at - 1] != '\r') return true;
  }
  return false;
}

int ParseRequestHead(std::string_view text, ParsedHead& head) {
  head.Clear();
  const std::size_t line_end = text.find("\r\n");
  const std::string_view line = text.substr(0, line_end);
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == line.npos || first == last) return 400;
  head.method = line.substr(0, first);
  if (head.method.empty() || !AllAre(head.method, Characters::kToken)) return 400;
  const int major = TakeVersion(line.substr(last + 1), head);
  if (major == 0) return 400;
  if (major != 1) return 505;
  if (!TakeTarget(line.substr(first + 1, last - first - 1), head)) return 400;

  Framing framing;
  if (!TakeFields(text.substr(line_end + 2), framing, head)) {
    return head.fields.size() == kMostFields ? 431 : 400;
  }
  // None is fine only for HTTP/1.0 (RFC 9112 §3.2).
  if (framing.hosts > 1 || (framing.hosts == 0 && !head.http_1_0)) return 400;
  if (framing.hosts == 1 && !IsHost(framing.host)) return 400;
  if (framing.lengths > 1) return 400;
  if (framing.coded && (head.http_1_0 || framing.lengths > 0)) return 400;
  if (framing.coded && (!framing.ends_chunked || framing.bad_codings)) return 400;
  if (framing.other_coding || !IsKnownMethod(head.method)) return 501;
  return 0;
}

bool ParseResponseHead(std::string_view text, ParsedHead& head) {
  head.Clear();
  const std::size_t line_end = text.find("\r\n");
  const std::string_view line = text.substr(0, line_end);
  // "HTTP/1.1 200 OK"; some leave out the blank before a reason that is empty.
  if (line.size() < 12 || line[8] != ' ' || TakeVersion(line.substr(0, 8), head) != 1) return false;
  const auto [end, error] = std::from_chars(line.data() + 9, line.data() + 12, head.status);
  if (error != std::errc() || end != line.data() + 12) return false;
  if (head.status < 100 || head.status > 599) return false;
  if (line.size() > 12 && (line[12] != ' ' || !AllAre(line.substr(13), Characters::kValue)))
    return false;

  Framing framing;
  if (!TakeFields(text.substr(line_end + 2), framing, head)) return false;
  if (!framing.lengths_agree) return false;
  if (!framing.coded) return true;
  return framing.ends_chunked && !framing.other_coding && !framing.bad_codings && !head.http_1_0 &&
         framing.lengths == 0;
}

bool IsHost(std::string_view text) {
  std::size_t port = 0;
  if (text.starts_with('[')) {
    const std::size_t close = std::min(text.find(']'), text.size());
    const std::string address(text.substr(1, close - 1));
    in6_addr ignored;
    if (close == text.size() || inet_pton(AF_INET6, address.c_str(), &ignored) != 1) return false;
    port = close + 1;
  } else {
    port = std::min(text.find(':'), text.size());
    const std::string_view name = text.substr(0, port);
    if (name.empty() || !AllAre(name, Characters::kHost)) return false;
    const auto hex = [](char c) {
      return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
    };
    for (std::size_t at = 0; (at = name.find('%', at)) != name.npos; ++at) {
      if (name.size() - at < 3 || !hex(name[at + 1]) || !hex(name[at + 2])) return false;
    }
  }
  if (port == text.size()) return true;
  // A colon without a port is allowed (RFC 3986 §3.2.3).
  const std::string_view digits = text.substr(port + 1);
  if (text[port] != ':' || digits.empty()) return text[port] == ':';
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc() && end == digits.data() + digits.size();
}

}  // namespace headrace::net
