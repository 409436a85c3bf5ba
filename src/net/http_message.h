// HTTP heads as this program writes and reads them, without the library that parses them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::net {

// The heads' own text, name and value; views into the message that they came with.
struct HeaderField {
  std::string_view name;
  std::string_view value;
  // Ends here (RFC 9110 §7.6.1: connection and what any `Connection` names, keep-alive, te,
  // trailer, transfer-encoding, upgrade, proxy-…), or is written by each sender itself
  // (content-length, expect): what a relay does not copy.
  bool hop_by_hop = false;
};

// True when two texts of one length are the same (ASCII, any case).
bool SameButForCase(std::string_view a, std::string_view b);

// True when two header names are the same (ASCII, any case).
inline bool SameHeaderName(std::string_view a, std::string_view b) {
  return a.size() == b.size() && SameButForCase(a, b);
}

// The value of the first field with that name, or "" when there is none.
std::string_view FindHeader(const std::vector<HeaderField>& fields, std::string_view name);

// The head of a request or a response, kept as the text that goes out: add, then send. Whether the
// connection stays open and how the body is framed is added by the server or the client; do not add
// those headers (HeaderField::hop_by_hop) here.
class MessageHead {
 public:
  // A character that would end the line (CR, LF, NUL) cuts the value there, so that a value that
  // came from outside can't smuggle in a header. Neither may be a part of this head's own text.
  void Add(std::string_view name, std::string_view value);
  void Add(std::string_view name, std::uint64_t value);

  std::string_view text() const { return text_; }
  // The server adds a date where there is none.
  bool has_date() const { return has_date_; }

 protected:
  MessageHead() = default;
  std::string text_;
  bool has_date_ = false;
};

class ResponseHead : public MessageHead {
 public:
  explicit ResponseHead(int status);
  int status() const { return status_; }

 private:
  int status_;
};

class RequestHead : public MessageHead {
 public:
  // `target` is path and query, e.g. "/v1/models?x=1"; `host` the Host header's value.
  RequestHead(std::string_view method, std::string_view target, std::string_view host);
  bool is_head() const { return is_head_; }
  // GET and the like: without a body there is no Content-Length either.
  bool may_lack_body() const { return may_lack_body_; }

 private:
  bool is_head_;
  bool may_lack_body_;
};

// "OK", "Not Found" …; "Unknown" for a status without a standard phrase.
std::string_view ReasonPhrase(int status);

}  // namespace headrace::net
