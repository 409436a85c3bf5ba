// Fuzzes the heads of requests and responses.
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string_view>

#include "net/head_parser.h"

namespace headrace::net {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

bool LiesIn(std::string_view part, std::string_view whole) {
  const std::less_equal<const char*> before;
  return part.empty() || (before(whole.data(), part.data()) &&
                          before(part.data() + part.size(), whole.data() + whole.size()));
}

void CheckHead(std::string_view text, const ParsedHead& head) {
  Check(LiesIn(head.method, text));
  Check(LiesIn(head.target, text) || LiesIn(head.target, head.made_target));
  for (const HeaderField& field : head.fields) {
    Check(!field.name.empty() && LiesIn(field.name, text) && LiesIn(field.value, text));
    Check(field.value.find_first_of("\r\n") == field.value.npos);
  }
  // Which one holds would be the next one's guess: that is how requests are smuggled.
  Check(!head.chunked || !head.content_length);
}

}  // namespace
}  // namespace headrace::net

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace::net;
  // A copy of just this size, so that reading beyond it is seen.
  const auto copy = std::make_unique<char[]>(size);
  std::copy_n(data, size, copy.get());
  const std::string_view text(copy.get(), size);
  const std::size_t end = FindHeadEnd(text, 0);
  Check(end <= size);
  for (const std::size_t searched : {size / 3, size / 2, size}) {
    // Where it was searched, there was no end.
    if (searched < end || end == 0) Check(FindHeadEnd(text, searched) == end);
  }
  if (end == 0) return 0;
  const std::string_view head_text = text.substr(0, end);
  ParsedHead request;
  const int status = ParseRequestHead(head_text, request);
  Check(status == 0 || status == 400 || status == 431 || status == 501 || status == 505);
  if (status == 0) CheckHead(head_text, request);
  ParsedHead response;
  if (ParseResponseHead(head_text, response)) CheckHead(head_text, response);
  return 0;
}
