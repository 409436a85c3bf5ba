#include "net/tls_peer.h"

#include <openssl/ssl.h>

#include <utility>

#include "net/tls_stream.h"

namespace headrace::net {

TlsPeer::~TlsPeer() { SSL_SESSION_free(session_); }

void TlsPeer::Keep(SSL_SESSION* session) {
  const system::MutexLock lock(mutex_);
  SSL_SESSION_free(std::exchange(session_, session));
}

SSL_SESSION* TlsPeer::Session() const {
  const system::MutexLock lock(mutex_);
  if (session_ != nullptr) SSL_SESSION_up_ref(session_);
  return session_;
}

std::unique_ptr<ByteStream> MakeTlsStream(IoThread& thread, TcpConnection connection,
                                          ByteStreamListener& listener,
                                          std::shared_ptr<TlsPeer> peer) {
  // The peer keeps its context.
  std::shared_ptr<const TlsContext> context(peer, &peer->context());
  return std::make_unique<TlsStream>(thread, connection, listener, std::move(context),
                                     std::move(peer), nullptr);
}

}  // namespace headrace::net
