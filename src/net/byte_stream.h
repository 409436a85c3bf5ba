// The bytes of one HTTP connection. HTTP is written against this, so that TLS can be put between it
// and the TCP socket.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "net/io_threads.h"

namespace headrace::net {

// The user of a stream is called back here.
class ByteStreamListener {
 public:
  virtual void OnReadable() = 0;
  virtual void OnWritable() = 0;

 protected:
  ~ByteStreamListener() = default;
};

// Non-blocking. "Readable" and "writable" refer to the stream, not to the socket below: a stream
// that has to write before it can give bytes (a TLS key update), or to read before it can take any,
// waits for that itself. It calls back when the caller's next Read or Write is worth a try. On one
// thread.
class ByteStream {
 public:
  // The result of a step, if it is not a count of bytes.
  static constexpr std::ptrdiff_t kNotNow = -1;
  static constexpr std::ptrdiff_t kFailed = -2;
  // Of one Write; the kernel takes 1024.
  static constexpr std::size_t kMostPieces = 512;
  // After so many bytes, read or written, the other streams of the thread get their turn. A call
  // may exceed it by less than as much.
  static constexpr std::size_t kTurnBytes = std::size_t{256} * 1024;

  virtual ~ByteStream() = default;

  // One step of what comes before the first byte: the end of connecting, a TLS handshake. 0 when
  // done, kFailed, or kNotNow: ArmWrite then calls back when the next step is worth a try. Read and
  // Write come after it is done.
  virtual std::ptrdiff_t Handshake() = 0;
  // Bytes read, 0 at the end that the peer meant, kNotNow or kFailed. Less than `size` does not say
  // that nothing is left.
  virtual std::ptrdiff_t Read(char* data, std::size_t size) = 0;
  // Bytes written, kNotNow or kFailed. The next Write must begin with the bytes that this one did
  // not take; they may have moved.
  virtual std::ptrdiff_t Write(std::span<const iovec> pieces) = 0;

  // One call back, never from within the call: when Read will return bytes, the end or a failure
  // (soon, if bytes already wait in the stream), or when Write will take bytes or fail. Arming
  // again while a call is pending does nothing. Once Read has returned 0, ArmRead calls back only
  // when the peer will not read any more either: it has answered a Write with a reset.
  virtual void ArmRead() = 0;
  virtual void ArmWrite() = 0;

  // Tells the peer that no more bytes come, as far as that is possible without waiting.
  virtual void ShutdownWrite() = 0;
  // No call back comes after this.
  virtual void Close() = 0;
  // Closes with a reset, for a peer that must not take what it got for complete.
  virtual void Reset() = 0;

  // Why a step has failed, a phrase about the peer; empty if there is no more to say than that.
  virtual std::string Fault() const { return {}; }
};

// A TCP connection that has no stream yet.
struct TcpConnection {
  int descriptor = -1;      // Non-blocking; the receiver of this struct owns it.
  int family = 0;           // AF_INET or AF_INET6.
  bool connecting = false;  // Made by StartConnecting, and not yet known to have succeeded.
};

// Puts a stream on a connection. `listener` outlives the stream.
using ByteStreamFactory = std::function<std::unique_ptr<ByteStream>(
    IoThread& thread, TcpConnection connection, ByteStreamListener& listener)>;

}  // namespace headrace::net
