// HTTP/1 heads (RFC 9112 §2–§6), read strictly: what two readers could take for two things is an
// error, so that nothing hides in a request that a gateway before or behind this one sees
// otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_message.h"

namespace headrace::net {

// What a head says. All views point into the text it was parsed from (or into `made_target`).
struct ParsedHead {
  std::string_view method;  // Requests.
  // Path and query ("*" for OPTIONS): of an absolute target, what an origin server is asked.
  std::string_view target;
  std::string made_target;  // Of an absolute target without a path.
  int status = 0;           // Responses.
  bool http_1_0 = false;    // Any later 1.x is read as 1.1 (RFC 9110 §2.5).
  std::vector<HeaderField> fields;
  bool keep_alive = false;
  bool chunked = false;
  bool expects_continue = false;
  std::optional<std::uint64_t> content_length;

  // Forgets all; keeps the memory for the next head.
  void Clear();
};

// The length of the head at the beginning of `bytes`, blank line included; 0 when its end is not
// there yet. The first `searched` bytes were searched before.
std::size_t FindHeadEnd(std::string_view bytes, std::size_t searched);

// True when a line behind the first `searched` bytes ends in a lone LF: such a head never gets an
// end.
bool HasBareLineFeed(std::string_view bytes, std::size_t searched);

// Parse a whole head, as FindHeadEnd cut it.
//
// 0, or the status to refuse the request with: 400 when it is not valid HTTP/1, or its framing, its
// target or its Host says two things or nothing; 431 for more than 256 fields; 501 for a method or
// a transfer coding that is not known here; 505 for another HTTP.
int ParseRequestHead(std::string_view text, ParsedHead& head);
// False when it is not a valid response, or coded in a way that can't be taken off.
bool ParseResponseHead(std::string_view text, ParsedHead& head);

// "host[:port]" as a Host field has it (RFC 9110 §7.2), registered names in letters, digits and
// "-._~%".
bool IsHost(std::string_view text);

}  // namespace headrace::net
