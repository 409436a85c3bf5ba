#include "net/http_connection.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "net/chunk_decoder.h"
#include "net/socket.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

// How long a connection waits for a request that is on its way, once the server drains. Who has
// just connected, means to ask; who has been answered, may have nothing to ask.
constexpr Seconds kFirstRequest = 2;
constexpr Seconds kLastRequest = 0.1;
// What simdjson wants to be readable behind a document.
constexpr std::size_t kPadding = 64;
// A request's head and, mostly, its body arrive in one read of this size; the rest of a longer body
// is read straight into its place.
constexpr std::size_t kFirstRead = std::size_t{16} * 1024;
// A body's memory is allocated as it arrives, so that an announced length alone costs nothing.
constexpr std::size_t kBodyStep = std::size_t{256} * 1024;
// Buffers that have grown beyond this are freed between requests.
constexpr std::size_t kKeptBytes = std::size_t{16} * 1024;
// How long and how much is read from a refused client, so that it can read the refusal.
constexpr Seconds kLingerTime = 2;
constexpr std::size_t kLingerBytes = std::size_t{64} * 1024 * 1024;

// The first byte of what a client sends that takes the port for one of https (RFC 8446 §5.1). No
// request begins with it.
constexpr char kTlsHandshake = 0x16;

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

thread_local char scratch[kFirstRead];

// The memory of large bodies that are over, by thread, for the next ones: its pages are there, and
// need not be filled with zeros before a read fills them.
constexpr std::size_t kLargestSpare = std::size_t{4} * 1024 * 1024;
constexpr std::size_t kMostSpareBytes = 4 * kLargestSpare;  // All of a thread's.
thread_local std::vector<std::string> spare_bodies;
thread_local std::size_t spare_bytes = 0;

// Makes room for this many bytes. What the body holds then means nothing.
void MakeRoom(std::string& body, std::size_t capacity) {
  if (body.capacity() >= capacity) return;
  if (capacity > kKeptBytes) {
    // Not one that is much larger: limits.bodies counts what is in a body, not its memory.
    const auto fits = [capacity](const std::string& spare) {
      return spare.capacity() >= capacity && spare.capacity() / 2 <= capacity;
    };
    // The last one that was given back is likely to be in the processor's cache.
    const auto spare = std::find_if(spare_bodies.rbegin(), spare_bodies.rend(), fits);
    if (spare != spare_bodies.rend()) {
      body = std::move(*spare);
      spare_bytes -= body.capacity();
      spare_bodies.erase(std::next(spare).base());
      return;
    }
  }
  body.reserve(capacity);
}

void GiveBackBody(std::string& body, IoThread& thread) {
  if (body.capacity() <= kKeptBytes) return;
  if (body.capacity() <= kLargestSpare) {
    spare_bytes += body.capacity();
    spare_bodies.push_back(std::move(body));
    while (spare_bytes > kMostSpareBytes) {
      spare_bytes -= spare_bodies.front().capacity();
      spare_bodies.erase(spare_bodies.begin());
    }
  } else {
    // The kernel takes milliseconds to free so many pages.
    thread.PostAside([freed = std::make_shared<std::string>(std::move(body))] {});
  }
  std::string().swap(body);
}

void GiveBack(std::string& buffer) {
  if (buffer.capacity() > kKeptBytes) std::string().swap(buffer);
  buffer.clear();
}

}  // namespace

HttpConnection::HttpConnection(HttpServerShared& shared, const HttpServerOptions& options,
                               IoThread& thread, WaitingConnections& waiting,
                               TcpConnection connection, const system::SocketAddress& peer)
    : shared_(shared),
      options_(options),
      thread_(thread),
      peer_(peer),
      peer_host_(peer.Host()),
      read_deadline_(thread.deadlines(),
                     [this] {
                       read_timed_out_ = true;
                       reading_.Resume();
                     }),
      write_deadline_(thread.deadlines(), [this] { Gone(); }),
      exchange_(*this),
      stream_(MakeStream(options.stream_factory, thread, connection, *this)),
      waiting_(waiting),
      self_{this},
      place_(self_.begin()) {}

void HttpConnection::OnReadable() {
  if (reading_.waiting()) {
    reading_.Resume();
  } else if (serving_) {
    ReadAhead();
  }
}

void HttpConnection::OnWritable() { writing_.Resume(); }

void HttpConnection::CloseIfIdle() {
  if (idle_) read_deadline_.Set(LastWait());
}

void HttpConnection::Break() {
  if (serving_) {
    Gone();
    return;
  }
  gone_ = true;
  stream_->Close();
  if (reading_.waiting()) {
    reading_.Resume();
  } else {
    writing_.Resume();
  }
}

Task<void> HttpConnection::Run() {
  bool open = co_await Handshake();
  while (open) {
    const int result = co_await ReadRequest();
    if (result == kClosed) break;
    if (result != kReadWhole) {
      co_await Refuse(result);
      break;
    }
    co_await Serve();
    if (unread_ && !gone_) co_await Linger();
    open = persist_ && !gone_;
    // The next request may be here, and be answered without a wait, as those behind it.
    if (open && !ahead_.empty()) co_await thread_.Yield();
    open = open && !gone_;
  }
  stream_->Close();
}

// --- Waiting

Seconds HttpConnection::LastWait() const {
  return system::MonotonicNow() + (asked_ ? kLastRequest : kFirstRequest);
}

void HttpConnection::BeginWaiting() {
  if (self_.empty()) return;
  waiting_since_ = system::MonotonicNow();
  waiting_.splice(waiting_.end(), self_);
}

void HttpConnection::EndWaiting() {
  if (self_.empty()) self_.splice(self_.begin(), waiting_, place_);
}

// --- Reading

Task<bool> HttpConnection::Handshake() {
  BeginWaiting();
  const Seconds deadline = system::MonotonicNow() + options_.head_timeout;
  for (;;) {
    const std::ptrdiff_t step = stream_->Handshake();
    if (step != ByteStream::kNotNow) co_return step == 0;
    write_deadline_.Set(deadline);
    stream_->ArmWrite();
    co_await writing_.Wait();
    write_deadline_.Clear();
    if (gone_) co_return false;
  }
}

Task<std::size_t> HttpConnection::ReadSome(char* data, std::size_t size, Seconds deadline) {
  for (;;) {
    if (gone_ || ended_) break;
    if (drained_) {
      read_timed_out_ = false;
      read_deadline_.Set(deadline);
      stream_->ArmRead();
      co_await reading_.Wait();
      read_deadline_.Clear();
      if (read_timed_out_ || gone_) co_return 0;
      drained_ = false;
      turn_bytes_ = 0;
    } else if (turn_bytes_ >= ByteStream::kTurnBytes) {
      co_await thread_.Yield();
      turn_bytes_ = 0;
      continue;
    }
    const std::ptrdiff_t got = stream_->Read(data, size);
    if (got == ByteStream::kNotNow) {
      drained_ = true;
      continue;
    }
    if (got <= 0) break;
    drained_ = static_cast<std::size_t>(got) < size;
    turn_bytes_ += static_cast<std::size_t>(got);
    co_return static_cast<std::size_t>(got);
  }
  gone_ = true;
  co_return 0;
}

Task<int> HttpConnection::ReadRequest() {
  const int head = co_await ReadHead();
  if (head != kReadWhole) co_return head;
  int result = kReadWhole;
  const bool whole = !head_.chunked && head_.content_length.value_or(0) <= rest_.size();
  unread_ = !whole && options_.reads_body && !options_.reads_body(exchange_);
  if (unread_) {
    ahead_.clear();
  } else if (head_.chunked) {
    result = co_await ReadChunkedBody();
  } else {
    result = co_await ReadSizedBody(head_.content_length.value_or(0));
  }
  co_return result;
}

Task<int> HttpConnection::ReadHead() {
  GiveBack(in_);
  ReleaseBody();
  in_.swap(ahead_);
  head_.Clear();
  Seconds deadline = system::MonotonicNow() + options_.idle_timeout;
  idle_ = true;
  std::size_t searched = 0;
  std::size_t end = 0;
  for (;;) {
    // Empty lines before a request are ignored (RFC 9112 §2.2).
    if (searched == 0) in_.erase(0, in_.find_first_not_of("\r\n"));
    if (!in_.empty() && idle_) {
      idle_ = false;
      asked_ = true;
      arrived_ = system::MonotonicNow();
      deadline = arrived_ + options_.head_timeout;
    }
    end = FindHeadEnd(in_, searched);
    if (end > options_.max_head_bytes || (end == 0 && in_.size() > options_.max_head_bytes)) {
      co_return 431;
    }
    if (end > 0) break;
    if (HasBareLineFeed(in_, searched)) co_return 400;
    searched = in_.size();
    if (idle_ && shared_.draining) deadline = std::min(deadline, LastWait());
    BeginWaiting();
    const std::size_t got = co_await ReadSome(scratch, sizeof(scratch), deadline);
    if (got == 0) co_return idle_ || gone_ ? kClosed : 408;
    in_.append(scratch, got);
    if (in_.front() == kTlsHandshake && !options_.stream_factory) {
      // In plain text, by which clients of TLS tell what is wrong ("wrong version number").
      if (options_.spoke_tls) options_.spoke_tls(peer_);
      co_return 400;
    }
  }
  co_return ParseHead(end);
}

int HttpConnection::ParseHead(std::size_t size) {
  EndWaiting();
  rest_ = std::string_view(in_).substr(size);
  if (const int refusal = ParseRequestHead(std::string_view(in_).substr(0, size), head_)) {
    return refusal;
  }
  const std::size_t question = std::min(head_.target.find('?'), head_.target.size());
  path_ = head_.target.substr(0, question);
  query_ = head_.target.substr(std::min(question + 1, head_.target.size()));
  return kReadWhole;
}

Task<int> HttpConnection::ReadSizedBody(std::uint64_t size) {
  if (size > options_.max_body_bytes) co_return 413;
  if (!Hold(std::min<std::uint64_t>(size, rest_.size()))) co_return 503;
  const std::string_view first = rest_.substr(0, size);
  MakeRoom(body_, size + kPadding);
  if (body_.size() < first.size()) body_.resize(first.size());
  std::copy(first.begin(), first.end(), body_.begin());
  ahead_.assign(rest_.substr(first.size()));
  std::size_t filled = first.size();
  if (filled < size && head_.expects_continue) {
    out_.assign(1, {const_cast<char*>(kContinue.data()), kContinue.size()});
    if (!co_await SendRest(0)) co_return kClosed;
  }
  while (filled < size) {
    const std::size_t next = std::min<std::uint64_t>(size, filled + kBodyStep);
    if (!Hold(next)) co_return 503;
    // One byte more than is missing: a read that gives less than it could has taken all there was,
    // and the next one waits to be told of more.
    if (body_.size() < next + 1) body_.resize(next + 1);
    const std::size_t got =
        co_await ReadSome(body_.data() + filled, next + 1 - filled, BodyDeadline());
    if (got == 0) co_return gone_ ? kClosed : 408;
    filled += got;
  }
  if (filled > size) ahead_.assign(1, body_[size]);
  body_.resize(size);
  co_return kReadWhole;
}

Task<int> HttpConnection::ReadChunkedBody() {
  ChunkDecoder decoder;
  if (!Hold(rest_.size())) co_return 503;
  body_.assign(rest_);
  std::size_t filled = 0;            // Body bytes, decoded.
  std::size_t fresh = body_.size();  // Bytes behind them that have just come.
  if (fresh == 0 && head_.expects_continue) {
    out_.assign(1, {const_cast<char*>(kContinue.data()), kContinue.size()});
    if (!co_await SendRest(0)) co_return kClosed;
  }
  for (;;) {
    const ChunkDecoder::Step step = decoder.Decode(body_.data() + filled, fresh);
    if (decoder.failed()) co_return 400;
    if (decoder.done()) ahead_.assign(body_, filled + step.consumed, fresh - step.consumed);
    filled += step.produced;
    if (filled > options_.max_body_bytes) co_return 413;
    if (decoder.done()) break;
    const std::size_t next = filled + std::clamp(filled, kFirstRead, kBodyStep);
    if (!Hold(next)) co_return 503;
    if (body_.capacity() < next + kPadding) {
      body_.resize(filled);  // What is copied.
      const std::function<void()> grow = [this, next] { body_.reserve(2 * next + kPadding); };
      if (filled <= kLargestSpare) {
        grow();
      } else {
        co_await thread_.RunAside(grow);
      }
    }
    if (body_.size() < next) body_.resize(next);
    fresh = co_await ReadSome(body_.data() + filled, next - filled, BodyDeadline());
    if (fresh == 0) co_return gone_ ? kClosed : 408;
  }
  body_.reserve(filled + kPadding);
  body_.resize(filled);
  co_return kReadWhole;
}

// A body must keep coming, and be whole before the request's time is up.
Seconds HttpConnection::BodyDeadline() const {
  return std::min(system::MonotonicNow() + options_.body_timeout,
                  arrived_ + options_.request_timeout);
}

bool HttpConnection::Hold(std::size_t bytes) {
  if (bytes <= held_) return true;
  const std::size_t more = bytes - held_;
  if (shared_.held_bytes.fetch_add(more) + more > options_.max_held_bytes) {
    shared_.held_bytes -= more;
    return false;
  }
  held_ = bytes;
  return true;
}

void HttpConnection::ReleaseBody() {
  GiveBackBody(body_, thread_);
  if (held_ > 0) shared_.held_bytes -= std::exchange(held_, 0);
}

void HttpConnection::ReadAhead() {
  // Behind the end only a reset can follow.
  if (ended_) return Gone();
  for (;;) {
    const std::ptrdiff_t got = stream_->Read(scratch, sizeof(scratch));
    if (got == ByteStream::kNotNow) break;
    if (got == ByteStream::kFailed) return Gone();
    if (got == 0) {
      ended_ = true;
      if (!ProbeClient()) return Gone();
      break;
    }
    ahead_.append(scratch, static_cast<std::size_t>(got));
    if (ahead_.size() > options_.max_pipelined_bytes) return Gone();
    if (static_cast<std::size_t>(got) < sizeof(scratch)) break;
  }
  stream_->ArmRead();
}

// Whether a client that has ended its half of the connection still waits for its response, or has
// closed the whole, TCP does not tell before something is sent: a closed socket answers that with a
// reset. So it is sent something that means nothing.
bool HttpConnection::ProbeClient() {
  if (head_.http_1_0 || writing_.waiting()) return true;
  std::string_view probe;
  const bool nothing_sent = !started_ || !head_out_.empty();
  if (nothing_sent) {
    probe = kContinue;  // Any client of HTTP/1.1 takes interim responses (RFC 9110 §15.2).
  } else if (chunked_ && !bodiless_) {
    probe = "0";  // The next chunk's size begins with a zero.
  } else {
    return true;  // The rest of the response tells.
  }
  const iovec piece = {const_cast<char*>(probe.data()), probe.size()};
  const std::ptrdiff_t sent = stream_->Write(std::span(&piece, 1));
  if (sent == ByteStream::kFailed) return false;
  unsent_interim_ = probe.substr(static_cast<std::size_t>(std::max<std::ptrdiff_t>(sent, 0)));
  return true;
}

// --- Serving

Task<void> HttpConnection::Serve() {
  status_ = 0;
  sent_ = 0;
  started_ = finished_ = chunked_ = until_close_ = false;
  unsent_interim_ = {};
  persist_ = head_.keep_alive && !unread_;
  serving_ = true;
  drained_ = true;
  if (!unread_) stream_->ArmRead();
  try {
    co_await shared_.handler(exchange_);
  } catch (const std::exception& error) {
    if (options_.handler_threw) options_.handler_threw(error.what());
  }
  serving_ = false;
  client_gone_ = {};
  if (gone_ || finished_) co_return;
  persist_ = false;
  if (started_ && head_out_.empty()) {
    Abort();
  } else {
    co_await Refuse(500);
  }
}

Task<void> HttpConnection::Refuse(int status) {
  persist_ = false;
  started_ = finished_ = false;
  ReleaseBody();
  ResponseHead head(status);
  head.Add("content-type", options_.error_content_type);
  if (status == 503) head.Add("retry-after", "1");
  const std::string body = options_.error_body ? options_.error_body(status, ReasonPhrase(status))
                                               : std::string(ReasonPhrase(status)) + "\n";
  StartResponse(head, body.size());
  if (co_await WriteOne(body, true)) co_await Linger();
}

// Closing a socket with unread bytes resets the connection, and the client could lose the response.
Task<void> HttpConnection::Linger() {
  stream_->ShutdownWrite();
  BeginWaiting();
  const Seconds deadline = system::MonotonicNow() + kLingerTime;
  std::size_t budget = kLingerBytes;
  for (;;) {
    const std::size_t got = co_await ReadSome(scratch, sizeof(scratch), deadline);
    if (got == 0 || got > budget) break;
    budget -= got;
  }
  gone_ = true;
}

void HttpConnection::Gone() {
  if (gone_) return;
  gone_ = true;
  persist_ = false;
  stream_->Close();
  const std::function<void()> tell = std::move(client_gone_);
  client_gone_ = {};
  if (tell) tell();
  writing_.Resume();
}

void HttpConnection::Abort() {
  if (gone_) return;
  gone_ = true;
  persist_ = false;
  if (until_close_) {
    stream_->Reset();
  } else {
    stream_->Close();
  }
}

}  // namespace headrace::net
