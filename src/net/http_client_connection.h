// A client's connection to an endpoint, and the pool where it waits between calls.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/byte_stream.h"
#include "net/http_client.h"
#include "net/suspension.h"
#include "net/timing_wheel.h"

namespace headrace::net {

// While it is in the pool, any event ends it: an idle HTTP server only ever closes. While a call
// uses it, events wake that call's coroutine. On one thread.
class HttpClientConnection final : public std::enable_shared_from_this<HttpClientConnection>,
                                   private ByteStreamListener {
 public:
  enum class Wake { kReadable, kWritable, kTimeout, kInterrupted };

  HttpClientConnection(HttpClient::Impl& client, const Destination& endpoint, int descriptor);

  const Destination& endpoint() const { return endpoint_; }
  ByteStream& stream() { return *stream_; }

  // Sleeps until the stream is worth a read (a write, either), or the deadline has passed.
  Task<Wake> WaitReadable(Seconds deadline) { return Wait(true, false, deadline); }
  Task<Wake> WaitWritable(Seconds deadline) { return Wait(false, true, deadline); }
  Task<Wake> WaitEither(Seconds deadline) { return Wait(true, true, deadline); }
  bool interrupted() const { return interrupted_; }
  // Closes the stream at once; the sleeper, if any, is woken through the event loop's queue.
  void Interrupt();

  void EnterPool(Seconds until);
  void LeavePool();

 private:
  Task<Wake> Wait(bool read, bool write, Seconds deadline);
  void OnReadable() override;
  void OnWritable() override;
  void OnDeadline();
  std::unique_ptr<ByteStream> MakeStreamTo(int descriptor);

  HttpClient::Impl& client_;
  Destination endpoint_;
  Suspension sleep_;
  Deadline deadline_;
  std::unique_ptr<ByteStream> stream_;
  bool pooled_ = false;
  bool wants_read_ = false;
  bool wants_write_ = false;
  bool interrupted_ = false;
  Wake woken_by_ = Wake::kInterrupted;
};

struct HttpClient::Impl {
  Impl(IoThread& the_thread, HttpClientOptions the_options)
      : thread(the_thread), options(std::move(the_options)) {}

  std::shared_ptr<HttpClientConnection> TakeIdle(const Destination& endpoint);
  void Return(std::shared_ptr<HttpClientConnection> connection);
  void Drop(HttpClientConnection& idle_connection);
  std::unique_ptr<char[]> TakeBuffer();
  void ReturnBuffer(std::unique_ptr<char[]> buffer);

  struct Hash {
    std::size_t operator()(const Destination& endpoint) const {
      return endpoint.address.Hash() ^ std::hash<const TlsPeer*>()(endpoint.tls.get());
    }
  };
  using Pool =
      std::vector<std::shared_ptr<HttpClientConnection>>;  // The last one in is used first.

  IoThread& thread;
  HttpClientOptions options;
  std::unordered_map<Destination, Pool, Hash> pools;
  std::vector<std::unique_ptr<char[]>> buffers;  // Spare ones.
};

}  // namespace headrace::net
