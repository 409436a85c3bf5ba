// TLS between HTTP and the socket, by OpenSSL: 1.2 and 1.3, for both ends of a connection.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
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
  };
  // Errors, each the rest of a sentence about the context: "has a certificate without a key".
  static Result<std::shared_ptr<const TlsContext>> ForClient(const Options& options);
  static Result<std::shared_ptr<const TlsContext>> ForServer(const Options& options);

  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  ssl_ctx_st* get() const { return context_; }
  bool verifies() const { return verifies_; }

 private:
  TlsContext(ssl_ctx_st* context, bool verifies) : context_(context), verifies_(verifies) {}

  ssl_ctx_st* context_;
  bool verifies_;
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
// The server's ends.
ByteStreamFactory TlsServerStreams(std::shared_ptr<const TlsContext> context);

}  // namespace headrace::net
