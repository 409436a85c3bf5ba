// The server's end of TLS.
#pragma once

#include <array>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "base/units.h"
#include "net/byte_stream.h"
#include "net/tls_context.h"
#include "system/mutex.h"

namespace headrace::net {

class TlsStream;

// The server's ends of a listener's connections. Thread-safe.
class TlsServer : public std::enable_shared_from_this<TlsServer> {
 public:
  // Why a handshake came to nothing: the client spoke plain HTTP, or no TLS at all; it went away,
  // or took too long; too many others were under way; it showed no certificate, or one that is not
  // accepted; it does not accept ours; there is no version, cipher or protocol that both have.
  static constexpr std::array<std::string_view, 10> kFaults = {
      "plain_http",     "not_tls",         "closed",         "timed_out",   "too_many",
      "no_certificate", "bad_certificate", "not_trusted_by", "not_offered", "other"};
  // Each holds memory, and may take its time. Where so many are under way, a new one takes the
  // place of the oldest of its thread that has had kGrace; if there is none, it is turned away. So
  // nobody keeps others out by connections that say nothing.
  static constexpr int kMostHandshakes = 1024;
  static constexpr Seconds kGrace = 0.5;
  // `why` is one of kFaults. Called on the connection's thread.
  using OnFault = std::function<void(std::string_view why)>;

  // `most_handshakes` and `grace`: for tests.
  explicit TlsServer(std::shared_ptr<const TlsContext> context, OnFault on_fault = {},
                     int most_handshakes = kMostHandshakes, Seconds grace = kGrace)
      : context_(std::move(context)),
        on_fault_(std::move(on_fault)),
        most_handshakes_(most_handshakes),
        grace_(grace) {}

  // For connections that come from now on; those that are open keep theirs.
  void Exchange(std::shared_ptr<const TlsContext> context);
  std::shared_ptr<const TlsContext> context() const;
  // They keep this object.
  ByteStreamFactory Streams();

 private:
  friend class TlsStream;
  // The stream's handshake is under way, on this thread, until End; false if it is one too many.
  bool Begin(TlsStream& stream, int thread);
  void End(TlsStream& stream, int thread);
  void Fail(std::string_view why) const {
    if (on_fault_) on_fault_(why);
  }

  mutable system::Mutex mutex_;
  std::shared_ptr<const TlsContext> context_ HEADRACE_GUARDED_BY(mutex_);
  const OnFault on_fault_;
  const int most_handshakes_;
  const Seconds grace_;
  // By thread, the oldest first.
  std::map<int, std::list<TlsStream*>> under_way_ HEADRACE_GUARDED_BY(mutex_);
  int count_ HEADRACE_GUARDED_BY(mutex_) = 0;  // Of all threads.
};
ByteStreamFactory TlsServerStreams(std::shared_ptr<const TlsContext> context);

}  // namespace headrace::net
