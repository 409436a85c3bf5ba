// TLS between HTTP and the socket, by OpenSSL: 1.2 and 1.3, for both ends of a connection.
#pragma once

#include <array>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "net/byte_stream.h"
#include "system/mutex.h"

// OpenSSL's own types; tls.cc alone includes its headers.
struct ssl_ctx_st;
struct ssl_session_st;

namespace headrace::net {

// What all connections of one kind have in common: whom to trust, and the own certificate.
// Immutable; costs a megabyte with the system's CAs, so it is made once.
class TlsContext {
 public:
  struct Options {  // Texts in PEM form.
    // Certificates of the CAs to trust. A client without: the system's (SSL_CERT_FILE, if set). A
    // server asks its clients for certificates only if there are some.
    std::string ca;
    std::string certificate;  // The own one, then its chain; a client may have none.
    std::string key;          // Of that certificate, not encrypted.
    bool verify = true;       // Of a client: the server's certificate.
    bool operator==(const Options&) const = default;
  };
  // Errors, each the rest of a sentence about the context: "has a certificate without a key".
  static Result<std::shared_ptr<const TlsContext>> ForClient(const Options& options);
  static Result<std::shared_ptr<const TlsContext>> ForServer(const Options& options);

  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  ssl_ctx_st* get() const { return context_; }
  bool verifies() const { return verifies_; }
  // When the own certificate ends (Unix time); 0 without one.
  Seconds ends() const { return ends_; }

 private:
  TlsContext(ssl_ctx_st* context, bool verifies) : context_(context), verifies_(verifies) {}

  ssl_ctx_st* context_;
  bool verifies_;
  Seconds ends_ = 0;
};

// A server as its clients know it: its name, and how its last connection can be resumed. Calls to
// it share pooled connections only with those that know it as the same object. Thread-safe.
class TlsPeer {
 public:
  // `name`: the host name or IP address that its certificate has to be for. A host name is also
  // told to it (SNI).
  TlsPeer(std::shared_ptr<const TlsContext> context, std::string name)
      : context_(std::move(context)), name_(std::move(name)) {}
  ~TlsPeer();
  TlsPeer(const TlsPeer&) = delete;
  TlsPeer& operator=(const TlsPeer&) = delete;

  const TlsContext& context() const { return *context_; }
  const std::string& name() const { return name_; }
  // Keeps the session, which it owns from now on, for the next connection.
  void Keep(ssl_session_st* session);
  // The session that was kept last, with a reference of the caller's own; null if there is none.
  ssl_session_st* Session() const;

 private:
  std::shared_ptr<const TlsContext> context_;
  std::string name_;
  mutable system::Mutex mutex_;
  ssl_session_st* session_ HEADRACE_GUARDED_BY(mutex_) = nullptr;
};

// The client's end. A certificate that is not accepted fails the handshake (ByteStream::Fault).
std::unique_ptr<ByteStream> MakeTlsStream(IoThread& thread, TcpConnection connection,
                                          ByteStreamListener& listener,
                                          std::shared_ptr<TlsPeer> peer);

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
