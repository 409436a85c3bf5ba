// The HTTP/1.1 server: one coroutine per request, on the thread of its connection.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "net/byte_stream.h"
#include "net/http_message.h"
#include "net/io_threads.h"
#include "system/address.h"

namespace headrace::net {

class HttpConnection;

// One request and its response. Lives while the handler runs; used on the connection's thread only.
class HttpExchange {
 public:
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;

  // --- The request. Views stay valid until the handler returns.
  std::string_view method() const;
  // Path and query as an origin server gets them (of an absolute target too), and each alone (""
  // without a query; the query without its "?").
  std::string_view target() const;
  std::string_view path() const;
  std::string_view query() const;
  // The first field of that name (any case), "" when absent.
  std::string_view Header(std::string_view name) const;
  const std::vector<HeaderField>& headers() const;
  bool http_1_0() const;
  bool tls() const;
  // The whole body, chunks joined. Its capacity is at least size + 64, so that simdjson can parse
  // it in place. It may be moved away.
  std::string& body();
  // Counts bytes that are made from the body as more of it (max_held_bytes), in all; false if that
  // is too much.
  bool HoldBody(std::size_t bytes);
  // HttpServerOptions::max_body_bytes.
  std::size_t max_body_bytes() const;
  // Frees the body's memory before the request ends. Views into it end here.
  void ReleaseBody();
  // When the first byte of the request arrived (MonotonicNow).
  Seconds arrived() const;
  const system::SocketAddress& peer() const;
  // SocketAddress::Host of the peer.
  const std::string& peer_host() const;
  IoThread& thread() const;

  // --- The client. From the moment the handler runs, the socket is watched.
  // `gone` is called once, on this thread, when the client closes or resets the connection, stops
  // reading for too long, or the server is stopped by force; at once when that has happened
  // already. A client that only ends its half (`shutdown`) still gets its response. A client of
  // HTTP/1.0 that closes is noticed when something is sent to it. Never after the handler has
  // returned. One callback: a later one replaces it; {} removes it. What it captures is destroyed
  // with the exchange.
  void OnClientGone(std::function<void()> gone);
  bool client_gone() const;

  // --- The response: Respond once, or Start, then writes, then Finish or WriteLast. These
  // coroutines return false when the client is gone; nothing is sent any more then. Memory that
  // is passed in must stay until the call has finished. For HEAD, bodies are dropped here.
  Task<bool> Respond(const ResponseHead& head, std::string_view body);

  // Begins a streamed response; without a length it is chunked (until close for HTTP/1.0). The head
  // waits for the first Write, so that both go out in one packet, or for Flush.
  void Start(const ResponseHead& head, std::optional<std::uint64_t> content_length = std::nullopt);
  Task<bool> Flush();
  // Sends the bytes at once: head, chunk framing and data in one system call. Returns when the
  // kernel has taken them all: a slow client slows the caller.
  Task<bool> Write(std::string_view data);
  Task<bool> Write(std::span<const std::string_view> pieces);
  // As Write, and ends the response in the same packet.
  Task<bool> WriteLast(std::string_view data);
  Task<bool> Finish();
  // Ends the connection without the end of the response, so that the client knows it is incomplete.
  void Abort();

  bool started() const;
  // Of the response so far: its status (0: none), and the bytes of its body.
  int status() const;
  std::uint64_t sent() const;

 private:
  friend class HttpConnection;
  explicit HttpExchange(HttpConnection& connection) : connection_(connection) {}
  HttpConnection& connection_;
};

// Serves one request. When it returns without a response, or throws, the server responds 500 (or
// breaks off the response that was begun).
using HttpHandler = std::function<Task<void>(HttpExchange&)>;

struct HttpServerOptions {
  // Where there are so many, a new one takes the place of the one that has waited longest for a
  // request, once that has had `grace`; if there is none, the new one gets 503 and is closed. So
  // nobody keeps others out by connections that say nothing.
  int max_connections = 16384;
  Seconds grace = 0.5;
  std::size_t max_head_bytes = 64 * 1024;         // More: 431.
  std::size_t max_body_bytes = 64 * 1024 * 1024;  // More: 413.
  // Of all requests' bodies together, from their first byte until the request's end (or
  // ReleaseBody). More: 503.
  std::size_t max_held_bytes = std::numeric_limits<std::size_t>::max();
  // Bytes that a client may send ahead (pipelining) while its request is served.
  std::size_t max_pipelined_bytes = 256 * 1024;
  Seconds head_timeout = 10;         // From its first byte to its last: 408. A handshake: closed.
  Seconds body_timeout = 60;         // Between two arrivals of body bytes: 408.
  Seconds request_timeout = kNever;  // From a request's first byte to its last: 408.
  Seconds idle_timeout = 75;         // Between two requests: closed.
  Seconds write_timeout = 60;        // A client that takes no byte for so long is gone.
  // The body and content type of the server's own errors (400, 408, 413, 431, 500, 501, 503, 505).
  std::function<std::string(int status, std::string_view reason)> error_body;
  std::string error_content_type = "text/plain";
  // Appends header lines ("name: value\r\n") to a response's head, whoever responds.
  std::function<void(const HttpExchange& exchange, std::string& head)> add_fields;
  // Called when a client begins with a TLS handshake on a plain connection, which gets 400.
  std::function<void(const system::SocketAddress& client)> spoke_tls;
  // What the connections' bytes pass through; empty: plain TCP.
  ByteStreamFactory stream_factory;
  // Asked when a request's head is here, but not all of its body: whether that is worth reading. If
  // not, the handler serves the request without it, and the connection ends. Empty: it always is.
  std::function<bool(const HttpExchange& exchange)> reads_body;
  // Called with what() when a handler threw, on the connection's thread.
  std::function<void(std::string_view what)> handler_threw;
};

class HttpServer {
 public:
  // Listens at `address` (port 0: any free one) and distributes the connections over `threads`.
  static Result<std::unique_ptr<HttpServer>> Listen(IoThreads& threads,
                                                    const system::SocketAddress& address,
                                                    const HttpServerOptions& options,
                                                    HttpHandler handler);
  // Stop(0).
  ~HttpServer();

  // The address with the port really listened on.
  const system::SocketAddress& address() const;
  std::uint16_t port() const { return address().port(); }
  int connections() const;

  // In force when this returns: for new connections, for the next request of others, and for the
  // next step of requests under way. Not from an I/O thread.
  void SetOptions(const HttpServerOptions& options);

  // From now on every response says `Connection: close` and ends its connection, so that clients
  // connect anew, elsewhere if they are told to.
  void CloseAfterResponses();

  // Stops accepting, and closes idle connections unless a request comes within the next tenth of a
  // second, or two seconds if they had none yet: it may be on its way. Requests in flight may
  // finish within `drain` (their responses say `Connection: close`), then their clients are
  // declared gone and the connections closed. Blocks until all handlers have returned; false when
  // some had not 10 s after that. Not from an I/O thread.
  bool Stop(Seconds drain);

 private:
  struct State;
  explicit HttpServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace headrace::net
