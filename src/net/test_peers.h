// For tests: the other end of a connection, driven byte by byte with blocking sockets, and a way to
// run a coroutine from a test's own thread.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/http_server.h"
#include "net/io_threads.h"
#include "system/address.h"

namespace headrace::net {

// Runs a coroutine on the thread and returns its value.
template <typename T>
T RunTask(IoThread& thread, std::function<Task<T>()> body) {
  auto promise = std::make_shared<std::promise<T>>();
  std::future<T> result = promise->get_future();
  thread.Spawn(
      [promise, body = std::move(body)]() -> Task<void> { promise->set_value(co_await body()); });
  return result.get();
}

// A blocking end of a TCP connection. Every read gives up after 20 s.
class RawPeer {
 public:
  explicit RawPeer(int descriptor) : descriptor_(descriptor) {}
  explicit RawPeer(const system::SocketAddress& address, int receive_buffer = 0)
      : descriptor_(::socket(address.family(), SOCK_STREAM, 0)) {
    if (receive_buffer > 0) {
      setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    connected_ = ::connect(descriptor_, address.data(), address.size()) == 0;
  }
  ~RawPeer() { Close(); }
  RawPeer(RawPeer&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  RawPeer& operator=(RawPeer&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

  bool connected() const { return connected_; }
  int descriptor() const { return descriptor_; }
  bool open() const { return descriptor_ >= 0; }

  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // Some bytes; "" at the end of the stream, after a reset, or after 20 s.
  std::string ReadSome() {
    pollfd ready = {descriptor_, POLLIN, 0};
    if (::poll(&ready, 1, 20'000) != 1) return {};
    std::string bytes(64 * 1024, '\0');
    const ssize_t got = ::recv(descriptor_, bytes.data(), bytes.size(), 0);
    bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return bytes;
  }
  // All bytes up to and including `end`; what there was, when the stream ends before.
  std::string ReadUntil(std::string_view end) {
    std::size_t at = 0;
    while ((at = kept_.find(end)) == kept_.npos) {
      const std::string more = ReadSome();
      if (more.empty()) return std::exchange(kept_, {});
      kept_ += more;
    }
    std::string bytes = kept_.substr(0, at + end.size());
    kept_.erase(0, bytes.size());
    return bytes;
  }
  std::string ReadCount(std::size_t count) {
    while (kept_.size() < count) {
      const std::string more = ReadSome();
      if (more.empty()) return std::exchange(kept_, {});
      kept_ += more;
    }
    std::string bytes = kept_.substr(0, count);
    kept_.erase(0, count);
    return bytes;
  }
  std::string ReadAll() {
    std::string bytes = std::exchange(kept_, {});
    for (;;) {
      const std::string more = ReadSome();
      if (more.empty()) return bytes;
      bytes += more;
    }
  }

  void Close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  void EndSending() { ::shutdown(descriptor_, SHUT_WR); }
  // A read or a send that waits in another thread returns.
  void Shutdown() { ::shutdown(descriptor_, SHUT_RDWR); }
  void Reset() {
    const linger hard = {1, 0};
    setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    Close();
  }

 private:
  int descriptor_;
  bool connected_ = true;
  std::string kept_;
};

// Listens on loopback and hands out connections one by one: for responses and faults that a correct
// server can't be made to show.
class RawListener {
 public:
  RawListener() : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in any = {};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(descriptor_, reinterpret_cast<sockaddr*>(&any), sizeof(any)) != 0) std::abort();
    ::listen(descriptor_, 16);
    socklen_t size = sizeof(any);
    ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&any), &size);
    address_ = system::SocketAddress(any);
  }
  ~RawListener() { Close(); }
  RawListener(const RawListener&) = delete;
  RawListener& operator=(const RawListener&) = delete;

  const system::SocketAddress& address() const { return address_; }
  RawPeer Accept() { return RawPeer(::accept(descriptor_, nullptr, nullptr)); }
  // An Accept that waits in another thread returns, and connections are refused.
  void Shutdown() { ::shutdown(descriptor_, SHUT_RDWR); }
  void Close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }

 private:
  int descriptor_;
  system::SocketAddress address_;
};

inline system::SocketAddress AnyLoopbackPort() { return *system::Resolve({"127.0.0.1", 0}); }

}  // namespace headrace::net
