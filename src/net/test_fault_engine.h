// For tests: an HTTP server that goes wrong as a script says.
#pragma once

#include <cctype>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "net/test_peers.h"
#include "system/mutex.h"

namespace headrace::net {

// What the fault engine does with one request: sends bytes, whatever they are, and then this.
struct FaultAnswer {
  enum class Then { kNextRequest, kClose, kReset, kHang };

  std::string bytes;
  Then then = Then::kNextRequest;
  std::size_t piece = 0;  // Sent in pieces of so many bytes, a millisecond apart; 0: in one.

  // The first `count` bytes only.
  FaultAnswer CutTo(std::size_t count) const { return {bytes.substr(0, count), then, piece}; }
  FaultAnswer ThenClose() const { return {bytes, Then::kClose, piece}; }
  FaultAnswer ThenReset() const { return {bytes, Then::kReset, piece}; }
  FaultAnswer ThenHang() const { return {bytes, Then::kHang, piece}; }
  FaultAnswer InPieces(std::size_t size) const { return {bytes, then, size}; }
  // Where the body begins; npos without a whole head.
  std::size_t body() const {
    const std::size_t end = bytes.find("\r\n\r\n");
    return end == bytes.npos ? end : end + 4;
  }
};

// --- Correct answers, to be cut and bent

inline FaultAnswer WholeAnswer(int status, std::string_view body,
                               const std::vector<std::string>& headers = {}) {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " Status\r\n";
  for (const std::string& header : headers) text += header + "\r\n";
  text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n\r\n";
  return {text + std::string(body)};
}
// One chunk per event.
inline FaultAnswer StreamAnswer(const std::vector<std::string>& events) {
  std::string text =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& event : events) {
    constexpr char kHex[] = "0123456789abcdef";
    std::string size;
    for (std::size_t left = event.size(); left > 0; left /= 16) {
      size.insert(size.begin(), kHex[left % 16]);
    }
    text += size + "\r\n" + event + "\r\n";
  }
  return {text + "0\r\n\r\n"};
}

// A request as the fault engine got it.
struct FaultRequest {
  std::string head;
  std::string body;

  bool streams() const { return body.find("\"stream\":true") != body.npos; }
};

// Serves any number of connections. POST requests are answered by the script, GET requests (health
// probes) by the health answer: 200 unless it is told otherwise. Thread-safe.
class FaultEngine {
 public:
  // What becomes of a request, by its number (from 0) and by what it is.
  using Script = std::function<FaultAnswer(int number, const FaultRequest& request)>;

  explicit FaultEngine(Script script)
      : script_(std::move(script)), acceptor_([this] { AcceptAll(); }) {}
  // The same answer to every request.
  explicit FaultEngine(FaultAnswer answer)
      : FaultEngine([answer = std::move(answer)](int, const FaultRequest&) { return answer; }) {}
  ~FaultEngine() {
    Refuse();
    std::list<Connection> connections;
    {
      const system::MutexLock lock(mutex_);
      connections.swap(connections_);
      for (Connection& connection : connections) connection.peer.Shutdown();
    }
    for (Connection& connection : connections) connection.thread.join();
  }
  FaultEngine(const FaultEngine&) = delete;
  FaultEngine& operator=(const FaultEngine&) = delete;

  std::string address() const { return listener_.address().ToString(); }

  // From now on connections are refused; those that are open go on.
  void Refuse() {
    if (!acceptor_.joinable()) return;
    listener_.Shutdown();
    acceptor_.join();
    listener_.Close();
  }
  void SetHealth(int status) {
    const system::MutexLock lock(mutex_);
    health_ = status;
  }
  void SetScript(Script script) {
    const system::MutexLock lock(mutex_);
    script_ = std::move(script);
  }
  // The POST requests so far.
  std::vector<FaultRequest> requests() const {
    const system::MutexLock lock(mutex_);
    return requests_;
  }
  int served() const { return static_cast<int>(requests().size()); }

 private:
  struct Connection {
    explicit Connection(RawPeer from) : peer(std::move(from)) {}
    RawPeer peer;
    std::thread thread;
  };

  void AcceptAll() {
    for (;;) {
      RawPeer peer = listener_.Accept();
      if (!peer.open()) return;
      const system::MutexLock lock(mutex_);
      Connection& connection = connections_.emplace_back(std::move(peer));
      connection.thread = std::thread([this, &connection] { Serve(connection.peer); });
    }
  }

  void Serve(RawPeer& peer) {
    FaultAnswer::Then then = FaultAnswer::Then::kNextRequest;
    while (then == FaultAnswer::Then::kNextRequest) {
      FaultRequest request;
      request.head = peer.ReadUntil("\r\n\r\n");
      if (!request.head.ends_with("\r\n\r\n")) break;
      request.body = peer.ReadCount(LengthOf(request.head));
      const FaultAnswer answer = AnswerTo(request);
      then = Send(peer, answer) ? answer.then : FaultAnswer::Then::kClose;
    }
    if (then == FaultAnswer::Then::kHang) peer.ReadAll();
    const system::MutexLock lock(mutex_);
    if (then == FaultAnswer::Then::kReset) peer.Reset();
    peer.Close();
  }

  FaultAnswer AnswerTo(const FaultRequest& request) {
    Script script;
    int number = 0;
    {
      const system::MutexLock lock(mutex_);
      if (request.head.starts_with("GET ")) return WholeAnswer(health_, "{}");
      script = script_;
      number = static_cast<int>(requests_.size());
      requests_.push_back(request);
    }
    return script(number, request);
  }

  static bool Send(RawPeer& peer, const FaultAnswer& answer) {
    std::string_view left = answer.bytes;
    while (!left.empty()) {
      const std::string_view piece = left.substr(0, answer.piece == 0 ? left.npos : answer.piece);
      if (!peer.Send(piece)) return false;
      left.remove_prefix(piece.size());
      if (!left.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  static std::size_t LengthOf(std::string head) {
    for (char& c : head) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    constexpr std::string_view kName = "\r\ncontent-length: ";
    const std::size_t at = head.find(kName);
    return at == head.npos ? 0 : std::stoul(head.substr(at + kName.size()));
  }

  RawListener listener_;
  mutable system::Mutex mutex_;
  Script script_ HEADRACE_GUARDED_BY(mutex_);
  int health_ HEADRACE_GUARDED_BY(mutex_) = 200;
  std::vector<FaultRequest> requests_ HEADRACE_GUARDED_BY(mutex_);
  std::list<Connection> connections_ HEADRACE_GUARDED_BY(mutex_);
  std::thread acceptor_;
};

}  // namespace headrace::net
