#include "net/socket.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <cstring>

namespace headrace::net {
namespace {

using boost::asio::ip::tcp;

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

// Outlives the Socket while the event loop still owes a call.
struct Socket::State : std::enable_shared_from_this<State> {
  enum class Connect { kPending, kEnded, kDone };

  State(IoThread& io, ByteStreamListener& the_listener, bool connecting)
      : socket(io.context()),
        listener(&the_listener),
        connect(connecting ? Connect::kPending : Connect::kDone) {}

  boost::asio::basic_stream_socket<tcp, boost::asio::io_context::executor_type> socket;
  ByteStreamListener* listener;  // Null once closed.
  Connect connect;
  bool ended = false;  // Read has returned 0.
  bool read_armed = false;
  bool write_armed = false;
};

Socket::Socket(IoThread& thread, TcpConnection connection, ByteStreamListener& listener)
    : state_(std::make_shared<State>(thread, listener, connection.connecting)) {
  const tcp protocol = connection.family == AF_INET6 ? tcp::v6() : tcp::v4();
  boost::system::error_code error;
  error = state_->socket.assign(protocol, connection.descriptor, error);
  if (error) ::close(connection.descriptor);  // No room in epoll: the socket counts as closed.
}

Socket::~Socket() { Close(); }

std::ptrdiff_t Socket::Handshake() {
  State& state = *state_;
  if (!state.socket.is_open()) return kFailed;
  if (state.connect == State::Connect::kDone) return 0;
  if (state.connect == State::Connect::kPending) return kNotNow;
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(state.socket.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return kFailed;
  state.connect = State::Connect::kDone;
  return 0;
}

std::ptrdiff_t Socket::Read(char* data, std::size_t size) {
  for (;;) {
    const ssize_t got = ::recv(state_->socket.native_handle(), data, size, 0);
    if (got == 0) state_->ended = true;
    if (got >= 0) return got;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return kNotNow;
    if (errno != EINTR) return kFailed;
  }
}

std::ptrdiff_t Socket::Write(std::span<const iovec> pieces) {
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  for (;;) {
    const ssize_t sent = ::sendmsg(state_->socket.native_handle(), &message, MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return kNotNow;
    if (errno != EINTR) return kFailed;
  }
}

void Socket::ArmRead() {
  if (state_->read_armed || !state_->socket.is_open()) return;
  state_->read_armed = true;
  const bool for_reset = state_->ended;
  state_->socket.async_wait(for_reset ? tcp::socket::wait_error : tcp::socket::wait_read,
                            [this, state = state_, for_reset](const boost::system::error_code&) {
                              state->read_armed = false;
                              if (state->listener == nullptr) return;
                              if (state->ended == for_reset) {
                                state->listener->OnReadable();
                              } else {
                                ArmRead();  // The end was read while this waited for it.
                              }
                            });
}

void Socket::ArmWrite() {
  if (state_->write_armed || !state_->socket.is_open()) return;
  state_->write_armed = true;
  state_->socket.async_wait(tcp::socket::wait_write,
                            [state = state_](const boost::system::error_code&) {
                              state->write_armed = false;
                              if (state->connect == State::Connect::kPending) {
                                state->connect = State::Connect::kEnded;
                              }
                              if (state->listener != nullptr) state->listener->OnWritable();
                            });
}

void Socket::ShutdownWrite() {
  boost::system::error_code ignored;
  ignored = state_->socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void Socket::Close() {
  state_->listener = nullptr;
  boost::system::error_code ignored;
  ignored = state_->socket.close(ignored);
}

void Socket::Reset() {
  if (state_->socket.is_open()) {
    boost::system::error_code ignored;
    ignored = state_->socket.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  }
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
    return fail(descriptor, "give an address of this machine and a port that is free");
  }
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &size);
  bound = FromKernel(storage);
  return descriptor;
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
