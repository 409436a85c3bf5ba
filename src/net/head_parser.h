// HTTP/1 heads, parsed by Boost.Beast; no other file includes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "net/http_message.h"

namespace headrace::net {

// What a head says. All views point into the text it was parsed from.
struct ParsedHead {
  std::string_view method;  // Requests.
  std::string_view target;
  int status = 0;  // Responses.
  bool http_1_0 = false;
  std::vector<HeaderField> fields;
  bool keep_alive = false;
  bool chunked = false;
  bool expects_continue = false;
  std::optional<std::uint64_t> content_length;
};

// The length of the head at the beginning of `bytes`, blank line included; 0 when its end is not
// there yet. The first `searched` bytes were searched before.
std::size_t FindHeadEnd(std::string_view bytes, std::size_t searched);

// Parse a whole head, as FindHeadEnd cut it. False when it is not valid HTTP/1 (folded lines and
// contradicting lengths count as invalid).
bool ParseRequestHead(std::string_view text, ParsedHead& head);
bool ParseResponseHead(std::string_view text, ParsedHead& head);

}  // namespace headrace::net
