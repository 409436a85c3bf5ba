#include "net/socket.h"

#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>

namespace headrace::net {
namespace {

// Without it a streamed response stalls for 40 ms per chunk.
void SetNoDelay(int descriptor) {
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

system::SocketAddress FromKernel(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &storage, sizeof(v6));
    return system::SocketAddress(v6);
  }
  sockaddr_in v4;
  std::memcpy(&v4, &storage, sizeof(v4));
  return system::SocketAddress(v4);
}

}  // namespace

Socket::Socket(IoThread& thread, TcpConnection connection, ByteStreamListener& listener)
    : loop_(thread.loop()),
      descriptor_(connection.descriptor),
      listener_(listener),
      connecting_(connection.connecting),
      writable_(!connection.connecting) {
  if (!loop_.Watch(descriptor_, *this)) Close();
}

Socket::~Socket() { Close(); }

std::ptrdiff_t Socket::Handshake() {
  if (descriptor_ < 0) return kFailed;
  if (!connecting_) return 0;
  if (!writable_) return kNotNow;
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return kFailed;
  connecting_ = false;
  return 0;
}

std::ptrdiff_t Socket::Read(char* data, std::size_t size) {
  for (;;) {
    const ssize_t got = ::recv(descriptor_, data, size, 0);
    if (got == 0) ended_ = true;
    // Less than asked for was all there was. Only behind it may be the end, which has been told.
    if (got >= 0 && static_cast<std::size_t>(got) < size) readable_ = end_told_;
    if (got >= 0) return got;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      readable_ = false;
      return kNotNow;
    }
    if (errno != EINTR) return kFailed;
  }
}

std::ptrdiff_t Socket::Write(std::span<const iovec> pieces) {
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  std::size_t size = 0;
  for (const iovec& piece : pieces) size += piece.iov_len;
  for (;;) {
    const ssize_t sent = ::sendmsg(descriptor_, &message, MSG_NOSIGNAL);
    // The kernel tells when there is room again, also if it took some.
    if (sent >= 0 && static_cast<std::size_t>(sent) < size) writable_ = false;
    if (sent >= 0) return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      writable_ = false;
      return kNotNow;
    }
    if (errno != EINTR) return kFailed;
  }
}

void Socket::ArmRead() {
  if (descriptor_ < 0) return;
  read_armed_ = true;
  if (ReadDue()) loop_.CallSoon(*this);
}

void Socket::ArmWrite() {
  if (descriptor_ < 0) return;
  write_armed_ = true;
  if (writable_) loop_.CallSoon(*this);
}

void Socket::OnEvents(std::uint32_t events) {
  const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  broken_ = broken_ || broken;
  end_told_ = end_told_ || broken || (events & EPOLLRDHUP) != 0;
  readable_ = readable_ || end_told_ || (events & EPOLLIN) != 0;
  writable_ = writable_ || broken || (events & EPOLLOUT) != 0;
  OnTurn();
}

bool Socket::ReadDue() const { return ended_ ? broken_ : readable_; }

void Socket::OnTurn() {
  const bool write = write_armed_ && writable_;
  const bool read = read_armed_ && ReadDue();
  // Each may end this object: the other one gets a turn of its own.
  if (write && read) loop_.CallSoon(*this);
  if (read) {
    read_armed_ = false;
    listener_.OnReadable();
  } else if (write) {
    write_armed_ = false;
    listener_.OnWritable();
  }
}

void Socket::ShutdownWrite() { ::shutdown(descriptor_, SHUT_WR); }

void Socket::Close() {
  if (descriptor_ < 0) return;
  loop_.Forget(*this);
  ::close(std::exchange(descriptor_, -1));
  read_armed_ = write_armed_ = false;
}

void Socket::Reset() {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  if (descriptor_ >= 0) setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Close();
}

std::unique_ptr<ByteStream> MakeStream(const ByteStreamFactory& factory, IoThread& thread,
                                       TcpConnection connection, ByteStreamListener& listener) {
  if (factory) return factory(thread, connection, listener);
  return std::make_unique<Socket>(thread, connection, listener);
}

int StartConnecting(const system::SocketAddress& address) {
  const int descriptor =
      ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (descriptor < 0) return -1;
  SetNoDelay(descriptor);
  if (::connect(descriptor, address.data(), address.size()) != 0 && errno != EINPROGRESS) {
    ::close(descriptor);
    return -1;
  }
  return descriptor;
}

Result<int> ListenOn(const system::SocketAddress& address, system::SocketAddress& bound) {
  const auto fail = [&](int descriptor, const char* fix) {
    std::string message =
        "can't listen on " + address.ToString() + " (" + std::strerror(errno) + "); " + fix;
    if (descriptor >= 0) ::close(descriptor);
    return Fail(std::move(message));
  };
  const int descriptor =
      ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (descriptor < 0) return fail(-1, "check that the system has this address family");
  const int on = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(descriptor, address.data(), address.size()) != 0 || ::listen(descriptor, 4096) != 0) {
    return fail(
        descriptor,
        errno == EADDRINUSE ? "something listens there already: end it, or give another port"
        : errno == EACCES   ? "ports this low need a privilege: give a higher one, or run with "
                              "the capability CAP_NET_BIND_SERVICE"
        : errno == EADDRNOTAVAIL ? "this machine has no such address: give one that it has, or "
                                   ":PORT for all"
                                 : "give an address of this machine and a port that is free");
  }
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &size);
  bound = FromKernel(storage);
  return descriptor;
}

void HearNoMore(int listener) {
  // A segment's flags are its 14th byte (RFC 9293 §3.1): SYN alone begins a connection.
  constexpr std::uint32_t kFlags = 13;
  constexpr std::uint32_t kSynAndAck = 0x12;
  constexpr std::uint32_t kSyn = 0x02;
  constexpr std::uint32_t kWhole = 0xffffffff;
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlags),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kSynAndAck),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kSyn, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, kWhole),
  };
  const sock_fprog filter = {.len = std::size(steps), .filter = steps};
  // Where this is forbidden, who connects in the last microseconds is reset.
  setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

int AcceptFrom(int listener, system::SocketAddress& peer) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  const int descriptor = ::accept4(listener, reinterpret_cast<sockaddr*>(&storage), &size,
                                   SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor < 0) return -1;
  SetNoDelay(descriptor);
  peer = FromKernel(storage);
  return descriptor;
}

}  // namespace headrace::net
