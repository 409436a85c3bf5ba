// One client's connection to the server: requests in, responses out.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/byte_stream.h"
#include "net/head_parser.h"
#include "net/http_server.h"
#include "net/suspension.h"
#include "net/timing_wheel.h"

namespace headrace::net {

// What all connections of a server share.
struct HttpServerShared {
  HttpHandler handler;
  std::atomic<bool> closing = false;        // Responses end their connections.
  std::atomic<bool> draining = false;       // The same, and no connection waits for a request.
  std::atomic<std::size_t> held_bytes = 0;  // Of the bodies of all requests.
};

class HttpConnection;
// Those of one thread from which no request is due: their handshake or the next request is not
// whole, or they were refused. In the order in which they began to be.
using WaitingConnections = std::list<HttpConnection*>;

// Lives on one thread. Between requests it holds no large buffer.
//
// At most one call back of the stream's readability is pending at any time. It goes to the
// coroutine that waits for bytes of a request, or, while a handler runs, to ReadAhead: this is how
// a client that leaves is noticed in every phase. The end of what it sends is no sign of that
// (`shutdown`); the reset with which a closed socket answers the next bytes is (ProbeClient).
class HttpConnection final : private ByteStreamListener {
 public:
  // `options` are its thread's, and may change there.
  HttpConnection(HttpServerShared& shared, const HttpServerOptions& options, IoThread& thread,
                 WaitingConnections& waiting, TcpConnection connection,
                 const system::SocketAddress& peer);
  ~HttpConnection() {
    ReleaseBody();
    EndWaiting();
  }

  // Serves requests until the connection is over.
  Task<void> Run();
  // Closes soon if no request is in progress: one that is on its way is still served.
  void CloseIfIdle();
  // Declares the client gone. Run may have ended then, and the object is gone.
  void Break();
  // Since when it is among the waiting connections.
  Seconds waiting_since() const { return waiting_since_; }

 private:
  friend class HttpExchange;

  // How reading a request ended: a status to refuse it with, or one of these.
  static constexpr int kReadWhole = 0;
  static constexpr int kClosed = -1;

  void OnReadable() override;
  void OnWritable() override;

  // False when there will be no requests.
  Task<bool> Handshake();
  Task<int> ReadRequest();
  Task<int> ReadHead();
  int ParseHead(std::size_t size);
  Task<int> ReadSizedBody(std::uint64_t size);
  Task<int> ReadChunkedBody();
  // A read that waits when the last one emptied the socket: bytes, or 0 when none will come.
  Task<std::size_t> ReadSome(char* data, std::size_t size, Seconds deadline);
  Seconds BodyDeadline() const;
  // Counts this many bytes of the body; false when all bodies together would be too large.
  bool Hold(std::size_t bytes);
  void ReleaseBody();
  void ReadAhead();
  // False when that failed.
  bool ProbeClient();
  Task<void> Serve();
  Task<void> Refuse(int status);
  Task<void> Linger();
  // Until when a request is waited for, once the server drains.
  Seconds LastWait() const;
  void BeginWaiting();
  void EndWaiting();

  void StartResponse(const ResponseHead& head, std::optional<std::uint64_t> content_length);
  Task<bool> Write(std::span<const std::string_view> pieces, bool last);
  Task<bool> WriteOne(std::string_view data, bool last);
  Task<bool> SendRest(std::size_t sent);
  void Gone();
  void Abort();

  HttpServerShared& shared_;
  const HttpServerOptions& options_;
  IoThread& thread_;
  system::SocketAddress peer_;
  std::string peer_host_;
  Suspension reading_;
  Suspension writing_;
  Deadline read_deadline_;
  Deadline write_deadline_;
  HttpExchange exchange_;
  std::unique_ptr<ByteStream> stream_;

  // The connection.
  bool idle_ = true;      // No byte of a request is here.
  bool asked_ = false;    // A request has come, or begun to.
  bool serving_ = false;  // A handler runs.
  bool gone_ = false;     // Nothing more can be sent.
  bool persist_ = false;  // Another request may follow.
  bool ended_ = false;    // The client sends nothing more.
  bool unread_ = false;   // The request's body will not be read.
  bool drained_ = true;   // The next read waits until the stream is readable.
  bool read_timed_out_ = false;
  std::size_t turn_bytes_ = 0;  // Read since other connections had their turn.
  std::string ahead_;           // Bytes beyond this request.
  WaitingConnections& waiting_;
  WaitingConnections self_;  // Itself, while it is not in waiting_.
  WaitingConnections::iterator place_;
  Seconds waiting_since_ = 0;

  // The request.
  Seconds arrived_ = 0;
  std::string in_;         // The head and what came with it; head_'s views point in here.
  std::string_view rest_;  // Of in_, behind the head.
  ParsedHead head_;
  std::string_view path_;
  std::string_view query_;
  std::string body_;
  std::size_t held_ = 0;  // What of it is counted.

  // The response.
  std::function<void()> client_gone_;
  int status_ = 0;
  std::uint64_t sent_ = 0;
  bool started_ = false;
  bool finished_ = false;
  bool chunked_ = false;
  bool bodiless_ = false;   // HEAD, 204, 304: no body is written.
  std::uint64_t left_ = 0;  // Of the announced length; unused when chunked or until close.
  bool until_close_ = false;
  std::string_view unsent_interim_;  // What the kernel did not take of an interim response.
  std::string head_out_;             // Not yet sent.
  char chunk_head_[20];
  std::string_view one_;
  std::vector<iovec> out_;
};

}  // namespace headrace::net
