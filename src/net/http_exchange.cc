// What a handler does with a request: it reads it, and responds.
#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

#include "net/http_connection.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

// RFC 9110 §6.6.1; formatted once a second.
std::string_view DateHeader() {
  thread_local std::time_t made = 0;
  thread_local char text[64];
  thread_local std::size_t size = 0;
  const auto now = static_cast<std::time_t>(system::UnixNow());
  if (now != made) {
    std::tm parts;
    gmtime_r(&now, &parts);
    size = std::strftime(text, sizeof(text), "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    made = now;
  }
  return {text, size};
}

}  // namespace

// --- The response

void HttpConnection::StartResponse(const ResponseHead& head,
                                   std::optional<std::uint64_t> content_length) {
  if (started_) return;
  started_ = true;
  if (shared_.closing || shared_.draining) persist_ = false;
  const int status = head.status();
  status_ = status;
  const bool no_length = status == 204 || status == 304;
  bodiless_ = no_length || head_.method == "HEAD";
  chunked_ = !content_length && !head_.http_1_0 && !no_length;
  until_close_ = !content_length && !chunked_ && !no_length;
  if (until_close_) persist_ = false;
  left_ = content_length.value_or(0);

  head_out_.assign(head.text());
  if (options_.add_fields) options_.add_fields(exchange_, head_out_);
  if (!head.has_date()) head_out_.append(DateHeader());
  if (content_length && !no_length) {
    char digits[20];
    const char* end = std::to_chars(digits, digits + sizeof(digits), *content_length).ptr;
    head_out_.append("content-length: ").append(std::string_view(digits, end)).append("\r\n");
  } else if (chunked_) {
    head_out_.append("transfer-encoding: chunked\r\n");
  }
  if (!persist_) {
    head_out_.append("connection: close\r\n");
  } else if (head_.http_1_0) {
    head_out_.append("connection: keep-alive\r\n");
  }
  head_out_.append("\r\n");
}

Task<bool> HttpConnection::WriteOne(std::string_view data, bool last) {
  one_ = data;
  return Write(std::span(&one_, 1), last);
}

Task<bool> HttpConnection::Write(std::span<const std::string_view> pieces, bool last) {
  if (gone_ || finished_ || !started_) co_return !gone_;
  const auto put = [this](std::string_view text) {
    if (!text.empty()) out_.push_back({const_cast<char*>(text.data()), text.size()});
  };
  std::uint64_t total = 0;
  for (const std::string_view piece : pieces) total += piece.size();

  out_.clear();
  put(std::exchange(unsent_interim_, {}));
  put(head_out_);
  if (!bodiless_) {
    if (chunked_ && total > 0) {
      char* end = std::to_chars(chunk_head_, chunk_head_ + 16, total, 16).ptr;
      *end++ = '\r';
      *end++ = '\n';
      put({chunk_head_, end});
    } else if (!chunked_ && !until_close_) {
      // More or less than was announced: the client must not take it for complete.
      if (total > left_ || (last && total < left_)) {
        Abort();
        co_return false;
      }
      left_ -= total;
    }
    for (const std::string_view piece : pieces) put(piece);
    sent_ += total;
    if (chunked_) {
      static constexpr std::string_view kEnds = "\r\n0\r\n\r\n";
      put(kEnds.substr(total > 0 ? 0 : 2, (total > 0 ? 2 : 0) + (last ? 5 : 0)));
    }
  }
  finished_ = last;
  if (out_.empty()) co_return true;
  std::size_t bytes = 0;
  for (const iovec& piece : out_) bytes += piece.iov_len;
  const std::ptrdiff_t sent =
      stream_->Write(std::span(out_.data(), std::min(out_.size(), ByteStream::kMostPieces)));
  if (sent != static_cast<std::ptrdiff_t>(bytes) &&
      !co_await SendRest(static_cast<std::size_t>(std::max<std::ptrdiff_t>(sent, 0)))) {
    co_return false;
  }
  head_out_.clear();
  co_return true;
}

// Sends what is left of out_ after its first `sent` bytes.
Task<bool> HttpConnection::SendRest(std::size_t sent) {
  std::span<iovec> left(out_);
  bool wait = sent > 0;
  for (;;) {
    while (!left.empty() && sent >= left.front().iov_len) {
      sent -= left.front().iov_len;
      left = left.subspan(1);
    }
    if (left.empty()) co_return true;
    left.front().iov_base = static_cast<char*>(left.front().iov_base) + sent;
    left.front().iov_len -= sent;
    if (wait) {
      write_deadline_.Set(system::MonotonicNow() + options_.write_timeout);
      stream_->ArmWrite();
      co_await writing_.Wait();
      write_deadline_.Clear();
      if (gone_) co_return false;
    }
    const std::ptrdiff_t now =
        stream_->Write(left.first(std::min(left.size(), ByteStream::kMostPieces)));
    if (now == ByteStream::kFailed) {
      Gone();
      co_return false;
    }
    sent = static_cast<std::size_t>(std::max<std::ptrdiff_t>(now, 0));
    wait = true;
  }
}

// --- HttpExchange

std::string_view HttpExchange::method() const { return connection_.head_.method; }
std::string_view HttpExchange::target() const { return connection_.head_.target; }
std::string_view HttpExchange::path() const { return connection_.path_; }
std::string_view HttpExchange::query() const { return connection_.query_; }
std::string_view HttpExchange::Header(std::string_view name) const {
  return FindHeader(connection_.head_.fields, name);
}
const std::vector<HeaderField>& HttpExchange::headers() const { return connection_.head_.fields; }
bool HttpExchange::http_1_0() const { return connection_.head_.http_1_0; }
bool HttpExchange::tls() const { return static_cast<bool>(connection_.options_.stream_factory); }
std::string& HttpExchange::body() { return connection_.body_; }
bool HttpExchange::HoldBody(std::size_t bytes) { return connection_.Hold(bytes); }
std::size_t HttpExchange::max_body_bytes() const { return connection_.options_.max_body_bytes; }
void HttpExchange::ReleaseBody() { connection_.ReleaseBody(); }
Seconds HttpExchange::arrived() const { return connection_.arrived_; }
const system::SocketAddress& HttpExchange::peer() const { return connection_.peer_; }
const std::string& HttpExchange::peer_host() const { return connection_.peer_host_; }
IoThread& HttpExchange::thread() const { return connection_.thread_; }
bool HttpExchange::client_gone() const { return connection_.gone_; }
bool HttpExchange::started() const { return connection_.started_; }
int HttpExchange::status() const { return connection_.status_; }
std::uint64_t HttpExchange::sent() const { return connection_.sent_; }

void HttpExchange::OnClientGone(std::function<void()> gone) {
  if (connection_.gone_) {
    if (gone) gone();
    return;
  }
  connection_.client_gone_ = std::move(gone);
}

void HttpExchange::Start(const ResponseHead& head, std::optional<std::uint64_t> content_length) {
  connection_.StartResponse(head, content_length);
}
Task<bool> HttpExchange::Respond(const ResponseHead& head, std::string_view body) {
  connection_.StartResponse(head, body.size());
  return connection_.WriteOne(body, true);
}
Task<bool> HttpExchange::Flush() { return connection_.Write({}, false); }
Task<bool> HttpExchange::Write(std::string_view data) { return connection_.WriteOne(data, false); }
Task<bool> HttpExchange::Write(std::span<const std::string_view> pieces) {
  return connection_.Write(pieces, false);
}
Task<bool> HttpExchange::WriteLast(std::string_view data) {
  return connection_.WriteOne(data, true);
}
Task<bool> HttpExchange::Finish() { return connection_.Write({}, true); }
void HttpExchange::Abort() { connection_.Abort(); }

}  // namespace headrace::net
