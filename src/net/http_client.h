// The HTTP/1.1 client: calls over pooled keep-alive connections, one pool per thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/units.h"
#include "net/byte_stream.h"
#include "net/http_message.h"
#include "net/io_threads.h"
#include "net/tls_peer.h"
#include "system/address.h"

namespace headrace::net {

enum class CallError {
  kNone,
  kConnectFailed,    // No connection: nothing was sent, any other endpoint may be tried.
  kNoSocket,         // The same, and it is this machine that has none left.
  kConnectTimeout,   // The same.
  kTlsFailed,        // The same: a connection, but no TLS on it.
  kNoResponse,       // Sent (perhaps in part), then closed before the response's head arrived.
  kHeadTimeout,      // Sent, and no head by the deadline.
  kInvalidResponse,  // What arrived is not HTTP/1.x, or its head is too large.
  kBroken,           // The body ended before its end.
  kBodyTimeout,      // No byte of the body by the deadline.
  kClosed,           // Close() was called.
};
// "connection refused or unreachable" …: a phrase for messages.
std::string_view Describe(CallError error);

struct HttpClientOptions {
  std::size_t max_idle_per_endpoint = 64;
  Seconds idle_timeout = 50;    // Below the 60 s or more after which servers usually close.
  Seconds connect_timeout = 2;  // Handshake included.
  std::size_t max_head_bytes = 64 * 1024;
  std::size_t read_buffer_bytes = 64 * 1024;
  // What the bytes of connections without TLS pass through; empty: plain TCP.
  ByteStreamFactory stream_factory;
};

// Where calls go. Connections are pooled by it.
struct Destination {
  Destination() = default;
  Destination(const system::SocketAddress& the_address,  // NOLINT: an address alone is plain HTTP.
              std::shared_ptr<TlsPeer> the_peer = nullptr)
      : address(the_address), tls(std::move(the_peer)) {}

  system::SocketAddress address;
  std::shared_ptr<TlsPeer> tls;  // Null: plain TCP.
  bool operator==(const Destination&) const = default;
};

// A pool of connections for the calls of one thread. All calls on that thread; must outlive its
// calls; end it on its thread, or after the threads have ended.
class HttpClient {
 public:
  HttpClient(IoThread& thread, HttpClientOptions options);
  ~HttpClient();

  IoThread& thread() const;
  std::size_t idle_connections() const;
  // Closes the idle connections to one endpoint, or all.
  void CloseIdle(const Destination& endpoint);
  void CloseIdle();

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// One request to one endpoint and its response. One coroutine uses it; Close may come from another
// one of the same thread (a client-gone callback) at any time.
class HttpCall {
 public:
  explicit HttpCall(HttpClient& client);
  // Closes what was not read to its end.
  ~HttpCall();
  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;

  // Sends the head and the pieces of the body (content-length is their sum) in one gathered write
  // and reads the response's head, until `head_deadline` (MonotonicNow). A reused connection that
  // dies before any byte of a response is replaced by a fresh one, once (retried()). Head and
  // pieces must stay until the call has finished. Once per object.
  Task<CallError> Start(const Destination& endpoint, const RequestHead& head,
                        std::span<const std::string_view> body, Seconds head_deadline);
  // Instead of Start: only sees to it that there is a connection, which the next call uses.
  Task<CallError> Connect(const Destination& endpoint, Seconds deadline);

  // --- The response, after Start returned kNone.
  int status() const;
  const std::vector<HeaderField>& headers() const;
  std::string_view Header(std::string_view name) const;
  // From Content-Length; −1 when chunked or until close.
  std::int64_t content_length() const;

  struct Piece {
    CallError error = CallError::kNone;
    bool last = false;      // The body is complete with `data` (which may be empty).
    std::string_view data;  // Decoded body bytes; valid until the next ReadSome.
  };
  // The bytes that have arrived, at least one unless `last` or an error; waits for them until
  // `deadline`. Bytes that came with the head are handed out without waiting.
  Task<Piece> ReadSome(Seconds deadline);

  // What went wrong, a phrase: Describe(error), or what the stream knows better.
  std::string Fault() const;

  // Ends the call at once: the endpoint sees the connection close; Start or ReadSome in progress
  // returns kClosed. No effect when the body was read to its end.
  void Close();

  bool reused() const;   // The response came over a pooled connection.
  bool retried() const;  // A pooled connection had died; this is the second attempt.
  // When the request was handed to the kernel, and when the first byte of the response arrived; 0
  // before.
  Seconds sent_at() const;
  Seconds first_byte_at() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace headrace::net
