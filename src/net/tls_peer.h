// The client's end of TLS.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "net/byte_stream.h"
#include "net/tls_context.h"
#include "system/mutex.h"

// OpenSSL's own type.
struct ssl_session_st;

namespace headrace::net {

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

}  // namespace headrace::net
