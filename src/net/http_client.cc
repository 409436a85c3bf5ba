#include "net/http_client.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "net/chunk_decoder.h"
#include "net/head_parser.h"
#include "net/http_client_connection.h"
#include "net/socket.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

using Wake = HttpClientConnection::Wake;

// It begins with an alert of TLS: what a server says that got HTTP instead.
bool SpeaksTls(std::string_view response) { return response.starts_with("\x15\x03"); }

}  // namespace

std::string_view Describe(CallError error) {
  switch (error) {
    case CallError::kNone:
      return "no error";
    case CallError::kConnectFailed:
      return "connection refused or endpoint unreachable";
    case CallError::kNoSocket:
      return "this machine has no file descriptor or port left for a connection";
    case CallError::kConnectTimeout:
      return "no connection within the time limit";
    case CallError::kTlsFailed:
      return "no TLS on the connection";
    case CallError::kNoResponse:
      return "connection closed before a response";
    case CallError::kHeadTimeout:
      return "no response within the time limit";
    case CallError::kInvalidResponse:
      return "the response is not valid HTTP";
    case CallError::kBroken:
      return "connection broken in the middle of the response";
    case CallError::kBodyTimeout:
      return "the response stalled";
    case CallError::kClosed:
      return "call closed";
  }
  return "unknown error";
}

struct HttpCall::Impl {
  enum class Framing { kNone, kLength, kChunked, kUntilClose };

  explicit Impl(HttpClient::Impl& the_client) : client(the_client) {}
  ~Impl() { client.ReturnBuffer(std::move(buffer)); }

  Task<CallError> Start(const Destination& endpoint, const RequestHead& head,
                        std::span<const std::string_view> body, Seconds deadline);
  Task<CallError> ConnectOnly(const Destination& endpoint, Seconds deadline);
  Task<CallError> Connect(const Destination& endpoint, Seconds deadline);
  Task<CallError> Send(const RequestHead& head, std::span<const std::string_view> body,
                       Seconds deadline);
  Task<CallError> ReadHead(const RequestHead& head, Seconds deadline);
  CallError TakeHead(std::size_t size, const RequestHead& request);
  Task<Piece> ReadSome(Seconds deadline);
  Piece Decode();
  std::ptrdiff_t Read();
  CallError Fail(CallError error);
  void Finish();

  HttpClient::Impl& client;
  std::shared_ptr<HttpClientConnection> connection;
  std::unique_ptr<char[]> buffer;  // Null while nothing is in it: a slow stream holds none.
  std::size_t begin = 0;           // buffer[begin, end) has come and was not handed out.
  std::size_t end = 0;
  bool drained = true;  // The next read waits until the stream is readable.

  std::string framing_lines;
  std::vector<iovec> out;
  std::string head_text;
  ParsedHead response;
  Framing framing = Framing::kNone;
  ChunkDecoder chunks;
  std::uint64_t left = 0;

  CallError failed = CallError::kNone;  // Once an error, always that error.
  std::string fault;                    // What the stream said of it.
  bool finished = false;                // The body is complete.
  bool reusable = true;
  bool peer_closed = false;  // While the request was still being sent.
  bool reused = false;
  bool retried = false;
  Seconds sent_at = 0;
  Seconds first_byte_at = 0;
};

CallError HttpCall::Impl::Fail(CallError error) {
  if (failed == CallError::kNone) {
    failed = error;
    if (connection && fault.empty()) fault = connection->stream().Fault();
  }
  connection.reset();
  return failed;
}

void HttpCall::Impl::Finish() {
  finished = true;
  if (reusable && begin == end) client.Return(std::move(connection));
  connection.reset();
}

// --- The request

Task<CallError> HttpCall::Impl::Start(const Destination& endpoint, const RequestHead& head,
                                      std::span<const std::string_view> body, Seconds deadline) {
  if (failed != CallError::kNone) co_return failed;
  connection = client.TakeIdle(endpoint);
  reused = connection != nullptr;
  for (;;) {
    CallError error = CallError::kNone;
    if (!connection) error = co_await Connect(endpoint, deadline);
    if (error == CallError::kNone) error = co_await Send(head, body, deadline);
    if (error == CallError::kNone) error = co_await ReadHead(head, deadline);
    if (error == CallError::kNone) co_return error;
    // The endpoint closed the idle connection while the request was on its way.
    const bool stale = error == CallError::kNoResponse && reused && first_byte_at == 0;
    if (!stale || failed != CallError::kNone) co_return Fail(error);
    connection.reset();
    reused = false;
    retried = true;
    peer_closed = false;
    drained = true;
  }
}

Task<CallError> HttpCall::Impl::ConnectOnly(const Destination& endpoint, Seconds deadline) {
  connection = client.TakeIdle(endpoint);
  reused = connection != nullptr;
  if (!connection) {
    const CallError error = co_await Connect(endpoint, deadline);
    if (error != CallError::kNone) co_return Fail(error);
  }
  Finish();
  co_return CallError::kNone;
}

Task<CallError> HttpCall::Impl::Connect(const Destination& endpoint, Seconds deadline) {
  const int descriptor = StartConnecting(endpoint.address);
  if (descriptor < 0) {
    const bool own = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ||
                     errno == EADDRNOTAVAIL;
    co_return own ? CallError::kNoSocket : CallError::kConnectFailed;
  }
  connection = std::make_shared<HttpClientConnection>(client, endpoint, descriptor);
  const Seconds limit = std::min(deadline, system::MonotonicNow() + client.options.connect_timeout);
  for (;;) {
    const std::ptrdiff_t step = connection->stream().Handshake();
    if (step == ByteStream::kFailed) {
      const bool connected = !connection->stream().Fault().empty();
      co_return connected ? CallError::kTlsFailed : CallError::kConnectFailed;
    }
    if (step == 0) co_return CallError::kNone;
    const Wake wake = co_await connection->WaitWritable(limit);
    if (wake == Wake::kInterrupted) co_return CallError::kClosed;
    if (wake == Wake::kTimeout) co_return CallError::kConnectTimeout;
  }
}

Task<CallError> HttpCall::Impl::Send(const RequestHead& head,
                                     std::span<const std::string_view> body, Seconds deadline) {
  const auto put = [this](std::string_view text) {
    while (!text.empty()) {
      const std::string_view piece = text.substr(0, ByteStream::kTurnBytes);
      out.push_back({const_cast<char*>(piece.data()), piece.size()});
      text.remove_prefix(piece.size());
    }
  };
  std::uint64_t size = 0;
  for (const std::string_view piece : body) size += piece.size();
  framing_lines = "\r\n";
  if (size > 0 || !head.may_lack_body()) {
    framing_lines = "content-length: " + std::to_string(size) + "\r\n\r\n";
  }
  out.clear();
  out.reserve(2 + body.size());  // More for long ones.
  put(head.text());
  put(framing_lines);
  for (const std::string_view piece : body) put(piece);

  sent_at = system::MonotonicNow();
  std::span<iovec> unsent(out);
  for (;;) {
    std::size_t turn = 0;
    std::size_t bytes = 0;
    while (turn < std::min(unsent.size(), ByteStream::kMostPieces) &&
           bytes < ByteStream::kTurnBytes) {
      bytes += unsent[turn++].iov_len;
    }
    const std::ptrdiff_t written = connection->stream().Write(unsent.first(turn));
    if (written == ByteStream::kFailed) {
      // An endpoint that refuses a request may close before it has read it; its response may be
      // here.
      reusable = false;
      co_return CallError::kNone;
    }
    auto sent = static_cast<std::size_t>(std::max<std::ptrdiff_t>(written, 0));
    while (!unsent.empty() && sent >= unsent.front().iov_len) {
      sent -= unsent.front().iov_len;
      unsent = unsent.subspan(1);
    }
    if (unsent.empty()) co_return CallError::kNone;
    unsent.front().iov_base = static_cast<char*>(unsent.front().iov_base) + sent;
    unsent.front().iov_len -= sent;

    if (written == static_cast<std::ptrdiff_t>(bytes)) {
      co_await client.thread.Yield();
      if (connection->interrupted()) co_return CallError::kClosed;
      continue;
    }
    const Wake wake = co_await connection->WaitEither(deadline);
    if (wake == Wake::kInterrupted) co_return CallError::kClosed;
    if (wake == Wake::kTimeout) co_return CallError::kHeadTimeout;
    if (wake == Wake::kWritable) continue;
    const std::ptrdiff_t got = Read();
    if (got == ByteStream::kNotNow) continue;
    // A response before the end of the request: the rest of the request is not wanted.
    reusable = false;
    peer_closed = got <= 0;
    co_return CallError::kNone;
  }
}

// --- The response's head

// Reads behind what is there.
std::ptrdiff_t HttpCall::Impl::Read() {
  if (!buffer) buffer = client.TakeBuffer();
  const std::size_t space = client.options.read_buffer_bytes - end;
  const std::ptrdiff_t got = connection->stream().Read(buffer.get() + end, space);
  if (got > 0) {
    end += static_cast<std::size_t>(got);
    drained = static_cast<std::size_t>(got) < space;
    if (first_byte_at == 0) first_byte_at = system::MonotonicNow();
  } else if (got == ByteStream::kNotNow) {
    drained = true;
  }
  return got;
}

Task<CallError> HttpCall::Impl::ReadHead(const RequestHead& request, Seconds deadline) {
  std::size_t searched = 0;
  std::size_t interim = 0;
  for (;;) {
    const std::string_view bytes(buffer.get(), end);
    const std::size_t size = FindHeadEnd(bytes, searched);
    searched = bytes.size();
    if (size > 0) {
      const CallError error = TakeHead(size, request);
      // Interim responses (100, 103) are skipped; without a bound an endpoint would have the thread
      // for itself, past any deadline.
      if (error != CallError::kNone || response.status >= 200) co_return error;
      interim += size;
      if (interim > client.options.max_head_bytes) co_return CallError::kInvalidResponse;
      end -= size;
      std::copy_n(buffer.get() + size, end, buffer.get());
      searched = 0;
      continue;
    }
    if (SpeaksTls(bytes)) {
      fault = "it speaks TLS there; write https:// before the address";
      co_return CallError::kInvalidResponse;
    }
    if (end >= client.options.max_head_bytes) co_return CallError::kInvalidResponse;
    if (peer_closed) co_return CallError::kNoResponse;
    if (drained) {
      if (end == 0) client.ReturnBuffer(std::move(buffer));
      const Wake wake = co_await connection->WaitReadable(deadline);
      if (wake == Wake::kInterrupted) co_return CallError::kClosed;
      if (wake == Wake::kTimeout) co_return CallError::kHeadTimeout;
    }
    const std::ptrdiff_t got = Read();
    if (got == 0 || got == ByteStream::kFailed) co_return CallError::kNoResponse;
  }
}

CallError HttpCall::Impl::TakeHead(std::size_t size, const RequestHead& request) {
  // Kept apart from the buffer, which the body's bytes will pass through.
  head_text.assign(buffer.get(), size);
  if (!ParseResponseHead(head_text, response) || response.status == 101)
    return CallError::kInvalidResponse;
  if (response.status < 200) return CallError::kNone;
  begin = size;
  reusable = reusable && response.keep_alive;
  if (request.is_head() || response.status == 204 || response.status == 304) {
    framing = Framing::kNone;
    Finish();
  } else if (response.chunked) {
    framing = Framing::kChunked;
  } else if (response.content_length) {
    framing = Framing::kLength;
    left = *response.content_length;
    if (left == 0) Finish();
  } else {
    framing = Framing::kUntilClose;
    reusable = false;
  }
  return CallError::kNone;
}

// --- The response's body

Task<HttpCall::Piece> HttpCall::Impl::ReadSome(Seconds deadline) {
  for (;;) {
    if (finished) co_return Piece{CallError::kNone, true, {}};
    if (failed != CallError::kNone) co_return Piece{failed, false, {}};
    if (begin < end) {
      const Piece piece = Decode();
      if (piece.error != CallError::kNone || piece.last || !piece.data.empty()) co_return piece;
    }
    begin = end = 0;
    if (drained) {
      client.ReturnBuffer(std::move(buffer));
      const Wake wake = co_await connection->WaitReadable(deadline);
      if (wake == Wake::kInterrupted) co_return Piece{Fail(CallError::kClosed), false, {}};
      if (wake == Wake::kTimeout) co_return Piece{Fail(CallError::kBodyTimeout), false, {}};
    } else {
      // The last read filled the buffer. However much an endpoint sends, other connections get
      // their turn between two buffers.
      co_await client.thread.Yield();
      if (failed != CallError::kNone) co_return Piece{Fail(failed), false, {}};
    }
    const std::ptrdiff_t got = Read();
    if (got == 0 && framing == Framing::kUntilClose) {
      Finish();
    } else if (got == 0 || got == ByteStream::kFailed) {
      Fail(CallError::kBroken);
    }
  }
}

// Hands out what is in the buffer.
HttpCall::Piece HttpCall::Impl::Decode() {
  Piece piece;
  char* data = buffer.get() + begin;
  std::size_t size = end - begin;
  if (framing == Framing::kChunked) {
    const ChunkDecoder::Step step = chunks.Decode(data, size);
    if (chunks.failed()) {
      piece.error = Fail(CallError::kBroken);
      return piece;
    }
    begin += step.consumed;
    size = step.produced;
    piece.last = chunks.done();
  } else {
    if (framing == Framing::kLength) {
      size = static_cast<std::size_t>(std::min<std::uint64_t>(size, left));
      left -= size;
      piece.last = left == 0;
    }
    begin += size;
  }
  piece.data = {data, size};
  if (piece.last) Finish();
  return piece;
}

// --- HttpCall

HttpCall::HttpCall(HttpClient& client) : impl_(std::make_unique<Impl>(client.impl())) {}
HttpCall::~HttpCall() = default;

Task<CallError> HttpCall::Start(const Destination& endpoint, const RequestHead& head,
                                std::span<const std::string_view> body, Seconds head_deadline) {
  return impl_->Start(endpoint, head, body, head_deadline);
}
Task<CallError> HttpCall::Connect(const Destination& endpoint, Seconds deadline) {
  return impl_->ConnectOnly(endpoint, deadline);
}
std::string HttpCall::Fault() const {
  return impl_->fault.empty() ? std::string(Describe(impl_->failed)) : impl_->fault;
}
int HttpCall::status() const { return impl_->response.status; }
const std::vector<HeaderField>& HttpCall::headers() const { return impl_->response.fields; }
std::string_view HttpCall::Header(std::string_view name) const {
  return FindHeader(impl_->response.fields, name);
}
std::int64_t HttpCall::content_length() const {
  const std::optional<std::uint64_t>& length = impl_->response.content_length;
  return length && !impl_->response.chunked ? static_cast<std::int64_t>(*length) : -1;
}
Task<HttpCall::Piece> HttpCall::ReadSome(Seconds deadline) { return impl_->ReadSome(deadline); }
void HttpCall::Close() {
  if (impl_->finished || impl_->failed != CallError::kNone) return;
  impl_->failed = CallError::kClosed;
  if (impl_->connection) impl_->connection->Interrupt();
}
bool HttpCall::reused() const { return impl_->reused; }
bool HttpCall::retried() const { return impl_->retried; }
Seconds HttpCall::sent_at() const { return impl_->sent_at; }
Seconds HttpCall::first_byte_at() const { return impl_->first_byte_at; }

}  // namespace headrace::net
