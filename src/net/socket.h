// TCP: the plain byte stream, and how connections come about.
#pragma once

#include <memory>
#include <span>

#include "base/result.h"
#include "net/byte_stream.h"
#include "net/io_threads.h"
#include "system/address.h"

namespace headrace::net {

// The bytes of the TCP connection, unchanged. Reads and writes go straight to the kernel. The
// socket is registered with the event loop once, and remembers what that told: waiting costs no
// system call.
class Socket final : public ByteStream, private Watcher {
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
  void OnEvents(std::uint32_t events) override;
  void OnTurn() override;
  bool ReadDue() const;

  EventLoop& loop_;
  int descriptor_;  // −1 once closed.
  ByteStreamListener& listener_;
  bool connecting_;
  bool read_armed_ = false;
  bool write_armed_ = false;
  // What is known: a read (write) will find that it is not so, at worst.
  bool readable_ = false;
  bool writable_;
  bool end_told_ = false;  // The peer sends no more bytes; some may be unread.
  bool ended_ = false;     // Read has returned 0.
  bool broken_ = false;    // The peer reads no more either.
};

// A stream made by `factory`, or a plain socket when that is empty.
std::unique_ptr<ByteStream> MakeStream(const ByteStreamFactory& factory, IoThread& thread,
                                       TcpConnection connection, ByteStreamListener& listener);

// A new non-blocking socket with TCP_NODELAY on its way to `address`; the descriptor, or −1.
int StartConnecting(const system::SocketAddress& address);
// A listening socket; `bound` gets the address with the real port.
Result<int> ListenOn(const system::SocketAddress& address, system::SocketAddress& bound);
// The kernel hears no new connection for this listener from now on, as if its packets were lost:
// who has connected can be accepted still, and closing the listener then resets nobody. Others try
// again a second later, by themselves (RFC 6298 §2.1).
void HearNoMore(int listener);
// An accepted non-blocking connection with TCP_NODELAY; −1 with errno.
int AcceptFrom(int listener, system::SocketAddress& peer);

}  // namespace headrace::net
