// TCP: the plain byte stream, and how connections come about.
#pragma once

#include <memory>
#include <span>

#include "base/result.h"
#include "net/byte_stream.h"
#include "net/io_threads.h"
#include "system/address.h"

namespace headrace::net {

// The bytes of the TCP connection, unchanged. Reads and writes go straight to the kernel; only when
// there is nothing to do, the event loop is asked to call back. That way the common case, a write
// that fits into the socket's buffer, costs one system call and no detour.
class Socket final : public ByteStream {
 public:
  Socket(IoThread& thread, TcpConnection connection, ByteStreamListener& listener);
  // Closes.
  ~Socket() override;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  std::ptrdiff_t Handshake() override;
  std::ptrdiff_t Read(char* data, std::size_t size) override;
  std::ptrdiff_t Write(std::span<const iovec> pieces) override;
  void ArmRead() override;
  void ArmWrite() override;
  void ShutdownWrite() override;
  void Close() override;
  void Reset() override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// A stream made by `factory`, or a plain socket when that is empty.
std::unique_ptr<ByteStream> MakeStream(const ByteStreamFactory& factory, IoThread& thread,
                                       TcpConnection connection, ByteStreamListener& listener);

// A new non-blocking socket with TCP_NODELAY on its way to `address`; the descriptor, or −1.
int StartConnecting(const system::SocketAddress& address);
// A listening socket; `bound` gets the address with the real port.
Result<int> ListenOn(const system::SocketAddress& address, system::SocketAddress& bound);
// An accepted non-blocking connection with TCP_NODELAY; −1 with errno.
int AcceptFrom(int listener, system::SocketAddress& peer);

}  // namespace headrace::net
