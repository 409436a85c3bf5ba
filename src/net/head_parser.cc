#include "net/head_parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <charconv>
#include <cstring>

namespace headrace::net {
namespace {

namespace http = boost::beast::http;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Collects views instead of copies. Beast calls back with views into what it is given, except for
// folded lines, which it joins in its own buffer.
template <bool kIsRequest>
class Parser final : public http::basic_parser<kIsRequest> {
  using Code = boost::beast::error_code;
  using Text = boost::beast::string_view;

 public:
  Parser(std::string_view text, ParsedHead& head) : text_(text), head_(head) {
    this->header_limit(static_cast<std::uint32_t>(text.size() + 1));
    this->body_limit(boost::none);
  }

  bool Parse() {
    Code error;
    this->put(boost::asio::const_buffer(text_.data(), text_.size()), error);
    // After a head with a body, Beast asks for more.
    if (error && error != http::error::need_more) return false;
    if (!this->is_header_done()) return false;
    head_.keep_alive = this->keep_alive();
    head_.chunked = this->chunked();
    if (const auto length = this->content_length()) head_.content_length = *length;
    return true;
  }

 private:
  void on_request_impl(http::verb, Text method, Text target, int version, Code&) override {
    head_.method = View(method);
    head_.target = View(target);
    head_.http_1_0 = version == 10;
  }
  void on_response_impl(int status, Text, int version, Code&) override {
    head_.status = status;
    head_.http_1_0 = version == 10;
  }
  void on_field_impl(http::field name, Text text, Text value, Code& error) override {
    const std::less_equal<const char*> before;
    if (!value.empty() &&
        !(before(text_.data(), value.data()) && before(value.end(), text_.data() + text_.size()))) {
      error = http::error::bad_obs_fold;
      return;
    }
    if (name == http::field::expect && SameHeaderName(View(value), "100-continue")) {
      head_.expects_continue = true;
    }
    head_.fields.push_back({View(text), View(value)});
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Code&) override {}
  std::size_t on_body_impl(Text, Code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, Text, Code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text, Code&) override { return 0; }
  void on_finish_impl(Code&) override {}

  std::string_view text_;
  ParsedHead& head_;
};

}  // namespace

std::size_t FindHeadEnd(std::string_view bytes, std::size_t searched) {
  // The blank line may have begun in the last three bytes that were searched.
  const std::size_t end = bytes.find("\r\n\r\n", searched < 3 ? 0 : searched - 3);
  return end == bytes.npos ? 0 : end + 4;
}

bool ParseRequestHead(std::string_view text, ParsedHead& head) {
  head = {};
  return Parser<true>(text, head).Parse();
}

bool ParseResponseHead(std::string_view text, ParsedHead& head) {
  head = {};
  return Parser<false>(text, head).Parse();
}

}  // namespace headrace::net
