// A connected TCP socket that says when it is worth another try.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>

#include "base/result.h"
#include "net/io_threads.h"
#include "system/address.h"

namespace headrace::net {

class SocketListener {
 public:
  virtual void OnReadable() = 0;
  virtual void OnWritable() = 0;

 protected:
  ~SocketListener() = default;
};

// Non-blocking reads and writes go straight to the kernel; only when there is nothing to do, the
// event loop is asked to call back. That way the common case, a write that fits into the socket's
// buffer, costs one system call and no detour. On one thread.
class Socket {
 public:
  // What a read or write came to, when not a count of bytes.
  static constexpr std::ptrdiff_t kNotNow = -1;
  static constexpr std::ptrdiff_t kFailed = -2;

  // Takes over a connected, or connecting, non-blocking socket.
  Socket(IoThread& thread, int descriptor, int family, SocketListener& listener);
  // Closes.
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // Bytes read, 0 at the end, kNotNow or kFailed.
  std::ptrdiff_t Read(char* data, std::size_t size);
  // Bytes written, kNotNow or kFailed.
  std::ptrdiff_t Write(std::span<const iovec> pieces);

  // One call back when the socket is (or becomes) readable or writable, or has failed. Asking again
  // while a call is owed does nothing.
  void ArmRead();
  void ArmWrite();
  bool read_armed() const;

  // 0, or errno, of a connection that was being made.
  int ConnectResult();
  void ShutdownWrite();
  // No call back comes after this.
  void Close();
  // Closes with a reset, for a peer that must not take what it got for complete.
  void Reset();
  bool is_open() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// A new non-blocking socket with TCP_NODELAY on its way to `address`; the descriptor, or −1.
int StartConnecting(const system::SocketAddress& address);
// A listening socket; `bound` gets the address with the real port.
Result<int> ListenOn(const system::SocketAddress& address, system::SocketAddress& bound);
// An accepted non-blocking connection with TCP_NODELAY; −1 with errno.
int AcceptFrom(int listener, system::SocketAddress& peer);

}  // namespace headrace::net
