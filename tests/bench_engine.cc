// An engine that costs next to nothing, for tools/bench-proxy: it drops what it is sent and answers
// at once: whole, or, as `bench_engine EVENTS`, each POST with a stream of as many events, each
// written on its own, in turn with those of other streams. One thread; prints its port.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

std::string Chunk(const std::string& event) {
  std::array<char, 20> size;
  std::snprintf(size.data(), size.size(), "%zx\r\n", event.size());
  return size.data() + event + "\r\n";
}

const std::string kWholeBody =
    R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"llama2-7b",)"
    R"("choices":[{"index":0,"message":{"role":"assistant","content":"lake dam sluice weir gate )"
    R"(pipe wheel shaft"},"finish_reason":"stop"}],"usage":{"prompt_tokens":250,)"
    R"("completion_tokens":8,"total_tokens":258}})";
const std::string kWhole = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
                           std::to_string(kWholeBody.size()) + "\r\n\r\n" + kWholeBody;
const std::string kStreamHead =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const std::string kEvent =
    R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,)"
    R"("model":"llama2-7b","choices":[{"index":0,"delta":{"content":" sluice"},"finish_reason":)";
const std::string kToken = Chunk(kEvent + "null}]}\n\n");
const std::string kStreamEnd =
    Chunk(kEvent + "\"stop\"}]}\n\n") + Chunk("data: [DONE]\n\n") + "0\r\n\r\n";

struct Connection {
  std::string head;
  long body_left = 0;
  long events = 0;
};

void Send(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(descriptor, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

class Engine {
 public:
  explicit Engine(long events)
      : events_(events), listener_(socket(AF_INET, SOCK_STREAM, 0)), poll_(epoll_create1(0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, 4096) != 0) {
      std::perror("bench_engine");
      std::exit(1);
    }
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    Watch(listener_);
  }

  void Run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = epoll_wait(poll_, events.data(), static_cast<int>(events.size()),
                                   streams_.empty() ? -1 : 0);
      for (int i = 0; i < count; ++i) {
        const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
        descriptor == listener_ ? Accept() : Read(descriptor);
      }
      SendEvents();
    }
  }

 private:
  void Watch(int descriptor) const {
    epoll_event event = {.events = EPOLLIN, .data = {.fd = descriptor}};
    epoll_ctl(poll_, EPOLL_CTL_ADD, descriptor, &event);
  }

  void Accept() {
    const int descriptor = accept(listener_, nullptr, nullptr);
    if (descriptor < 0) return;
    const int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections_[descriptor] = {};
    Watch(descriptor);
  }

  void Read(int descriptor) {
    Connection& connection = connections_[descriptor];
    static std::array<char, 65536> buffer;
    const bool in_body = connection.body_left > 0;
    // MSG_TRUNC drops bytes without copying them.
    const ssize_t got =
        in_body ? recv(descriptor, nullptr, static_cast<std::size_t>(connection.body_left),
                       MSG_DONTWAIT | MSG_TRUNC)
                : recv(descriptor, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      std::erase(streams_, descriptor);
      connections_.erase(descriptor);
      close(descriptor);
      return;
    }
    if (in_body) {
      connection.body_left -= got;
    } else if (!TakeHead(connection, {buffer.data(), static_cast<std::size_t>(got)})) {
      return;
    }
    if (connection.body_left > 0) return;
    connection.head.clear();
    if (connection.events == 0) {
      Send(descriptor, kWhole);
    } else {
      Send(descriptor, kStreamHead);
      streams_.push_back(descriptor);
    }
  }

  // False while the head is not whole.
  bool TakeHead(Connection& connection, std::string_view bytes) const {
    connection.head.append(bytes);
    const std::size_t end = connection.head.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    std::string lower = connection.head.substr(0, end);
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    connection.events = lower.starts_with("post ") ? events_ : 0;
    const std::string_view name = "\r\ncontent-length: ";
    const std::size_t at = lower.find(name);
    const long length = at == std::string::npos ? 0 : std::atol(&lower[at + name.size()]);
    connection.body_left = length - static_cast<long>(connection.head.size() - end - 4);
    return true;
  }

  void SendEvents() {
    for (std::size_t left = streams_.size(); left > 0; --left) {
      const int descriptor = streams_.front();
      streams_.pop_front();
      if (--connections_[descriptor].events > 0) {
        Send(descriptor, kToken);
        streams_.push_back(descriptor);
      } else {
        Send(descriptor, kStreamEnd);
      }
    }
  }

  const long events_;
  int listener_;
  int poll_;
  std::unordered_map<int, Connection> connections_;
  std::deque<int> streams_;
};

}  // namespace

int main(int count, char** arguments) { Engine(count > 1 ? std::atol(arguments[1]) : 0).Run(); }
