#include "net/http_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>
#include <unordered_set>

#include "net/http_connection.h"
#include "net/socket.h"
#include "net/timing_wheel.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::net {
namespace {

// After handlers were told that their clients are gone.
constexpr Seconds kForcedStopTime = 10;
// For connections that the kernel was making when it was told to hear no more: a few round trips.
constexpr Seconds kHandshakeTime = 0.1;
// As many as wait in the kernel for being accepted (its limit), and no more.
constexpr int kMostConnectedInTime = 4096;
// When the process has no descriptor left for a new connection.
constexpr Seconds kAcceptPause = 100 * kMillisecond;

}  // namespace

struct HttpServer::State final : HttpServerShared, Watcher, std::enable_shared_from_this<State> {
  // One thread's share.
  struct Share {
    std::atomic<int> count = 0;  // Counted when assigned, before they arrive here.
    HttpServerOptions options;   // Used and changed on its thread only.
    std::unordered_set<HttpConnection*> connections;  // Used on its thread only.
    WaitingConnections waiting;                       // The same.
  };
  // Counts one connection, however it ends.
  struct Ticket {
    Ticket(std::shared_ptr<State> the_state, std::size_t the_index)
        : state(std::move(the_state)), index(the_index) {
      ++state->shares[index].count;
      const system::MutexLock lock(state->mutex);
      ++state->live;
    }
    ~Ticket() {
      --state->shares[index].count;
      const system::MutexLock lock(state->mutex);
      if (--state->live == 0) state->none_left.NotifyAll();
    }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    std::shared_ptr<State> state;
    std::size_t index;
  };

  State(IoThreads& the_threads, int the_listener, const HttpServerOptions& options)
      : threads(the_threads),
        shares(static_cast<std::size_t>(the_threads.size())),
        listener(the_listener),
        pause(std::in_place, the_threads[0].deadlines(), [this] { OnTurn(); }) {
    for (Share& share : shares) share.options = options;
  }

  void OnEvents(std::uint32_t /*events*/) override { OnTurn(); }

  // Accepts.
  void OnTurn() override {
    // Bounded, so that many new connections don't starve the connections of this thread.
    for (int i = 0; i < 64; ++i) {
      system::SocketAddress peer;
      const int descriptor = AcceptFrom(listener, peer);
      if (descriptor >= 0) {
        Assign(descriptor, peer);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return;
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        pause->Set(system::MonotonicNow() + kAcceptPause);
        return;
      }
    }
    threads[0].loop().CallSoon(*this);
  }

  // False if nobody could connect before either.
  bool BeginDrain() {
    draining = true;
    if (listener < 0) return false;
    HearNoMore(listener);
    return true;
  }

  void StopAccepting() {
    if (listener < 0) return;
    // Who has connected in time is served: closing the listener would reset them.
    for (int i = 0; i < kMostConnectedInTime; ++i) {
      system::SocketAddress peer;
      const int descriptor = AcceptFrom(listener, peer);
      if (descriptor < 0) break;
      Assign(descriptor, peer);
    }
    threads[0].loop().Forget(*this);
    ::close(std::exchange(listener, -1));
    pause.reset();
  }

  void Assign(int descriptor, const system::SocketAddress& peer) {
    const auto least = std::min_element(
        shares.begin(), shares.end(),
        [](const Share& a, const Share& b) { return a.count.load() < b.count.load(); });
    const bool full = IsFull();
    const std::size_t index = full ? 0 : static_cast<std::size_t>(least - shares.begin());
    IoThread& thread = threads[static_cast<int>(index)];
    auto ticket = std::make_shared<Ticket>(shared_from_this(), index);
    if (full) {
      TakePlace(std::move(ticket), descriptor, peer);
    } else {
      thread.Spawn(
          [ticket, &thread, descriptor, peer] { return Serve(ticket, thread, descriptor, peer); });
    }
  }

  bool IsFull() {
    const system::MutexLock lock(mutex);
    return live >= shares[0].options.max_connections;
  }

  // On the ticket's thread: the connection that has waited longest there gives way to a new one. If
  // there is none, the next thread is asked.
  static void TakePlace(std::shared_ptr<Ticket> ticket, int descriptor,
                        system::SocketAddress peer) {
    const std::shared_ptr<State> state = ticket->state;
    Share& share = state->shares[ticket->index];
    IoThread& thread = state->threads[static_cast<int>(ticket->index)];
    if (!share.waiting.empty()) {
      HttpConnection& longest = *share.waiting.front();
      if (system::MonotonicNow() - longest.waiting_since() >= share.options.grace) {
        longest.Break();
        thread.Spawn([ticket, &thread, descriptor, peer] {
          return Serve(ticket, thread, descriptor, peer);
        });
        return;
      }
    }
    const std::size_t next = ticket->index + 1;
    if (next == state->shares.size()) {
      TurnAway(descriptor, share.options);
      return;
    }
    ticket = std::make_shared<Ticket>(state, next);
    state->threads[static_cast<int>(next)].Post(
        [ticket, descriptor, peer] { TakePlace(ticket, descriptor, peer); });
  }

  static Task<void> Serve(std::shared_ptr<Ticket> ticket, IoThread& thread, int descriptor,
                          system::SocketAddress peer) {
    State& state = *ticket->state;
    Share& share = state.shares[ticket->index];
    HttpConnection connection(state, share.options, thread, share.waiting,
                              {descriptor, peer.family()}, peer);
    auto& connections = share.connections;
    connections.insert(&connection);
    co_await connection.Run();
    connections.erase(&connection);
  }

  // The server is full: responds 503 if that is possible without waiting.
  static void TurnAway(int descriptor, const HttpServerOptions& options) {
    if (options.stream_factory) {  // No handshake, no response.
      ::close(descriptor);
      return;
    }
    const std::string body = options.error_body ? options.error_body(503, "too many connections")
                                                : "too many connections\n";
    const std::string response =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: " + options.error_content_type +
        "\r\ncontent-length: " + std::to_string(body.size()) +
        "\r\nretry-after: 1\r\nconnection: close\r\n\r\n" + body;
    (void)::send(descriptor, response.data(), response.size(), MSG_NOSIGNAL);
    ::shutdown(descriptor, SHUT_WR);
    ::close(descriptor);
  }

  // Does something to every connection of every thread, on its thread.
  void ForAll(void (HttpConnection::*what)()) {
    for (std::size_t i = 0; i < shares.size(); ++i) {
      threads[static_cast<int>(i)].Post([self = shared_from_this(), i, what] {
        auto& connections = self->shares[i].connections;
        // Each may be gone afterwards, but no other one.
        const std::vector<HttpConnection*> all(connections.begin(), connections.end());
        for (HttpConnection* connection : all) {
          if (connections.contains(connection)) (connection->*what)();
        }
      });
    }
  }

  bool AwaitNone(Seconds limit) {
    const Seconds end = system::MonotonicNow() + std::min(limit, 1e9);
    const system::MutexLock lock(mutex);
    while (live > 0) {
      const Seconds left = end - system::MonotonicNow();
      if (left <= 0) return false;
      none_left.WaitFor(mutex, left);
    }
    return true;
  }

  IoThreads& threads;
  system::SocketAddress address;
  std::vector<Share> shares;
  int listener;                   // −1 once closed.
  std::optional<Deadline> pause;  // Until descriptors may be free again.
  system::Mutex mutex;
  system::ConditionVariable none_left;
  int live HEADRACE_GUARDED_BY(mutex) = 0;
};

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(IoThreads& threads,
                                                       const system::SocketAddress& address,
                                                       const HttpServerOptions& options,
                                                       HttpHandler handler) {
  system::SocketAddress bound;
  HEADRACE_ASSIGN(const int listener, ListenOn(address, bound));
  auto state = std::make_shared<State>(threads, listener, options);
  state->address = bound;
  state->handler = std::move(handler);
  if (!threads[0].loop().Watch(listener, *state)) {
    ::close(listener);
    return Fail("can't listen on " + bound.ToString() +
                ": the kernel watches no more descriptors; raise fs.epoll.max_user_watches");
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

HttpServer::HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() { Stop(0); }

const system::SocketAddress& HttpServer::address() const { return state_->address; }

int HttpServer::connections() const {
  const system::MutexLock lock(state_->mutex);
  return state_->live;
}

void HttpServer::SetOptions(const HttpServerOptions& options) {
  for (std::size_t i = 0; i < state_->shares.size(); ++i) {
    state_->threads[static_cast<int>(i)].Run(
        [&share = state_->shares[i], &options] { share.options = options; });
  }
}

void HttpServer::CloseAfterResponses() { state_->closing = true; }

bool HttpServer::Stop(Seconds drain) {
  State& state = *state_;
  const Seconds end = system::MonotonicNow() + drain;
  bool listened = false;
  state.threads[0].Run([&] { listened = state.BeginDrain(); });
  state.ForAll(&HttpConnection::CloseIfIdle);
  if (listened) {  // The kernel tells nobody that it has made the last one.
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(drain, kHandshakeTime)));
  }
  state.threads[0].Run([&state] { state.StopAccepting(); });
  if (state.AwaitNone(end - system::MonotonicNow())) return true;
  state.ForAll(&HttpConnection::Break);
  return state.AwaitNone(kForcedStopTime);
}

}  // namespace headrace::net
