#include "net/tls_server.h"

#include <algorithm>
#include <utility>

#include "net/tls_stream.h"
#include "system/clock.h"

namespace headrace::net {

void TlsServer::Exchange(std::shared_ptr<const TlsContext> context) {
  const system::MutexLock lock(mutex_);
  context_.swap(context);
}

std::shared_ptr<const TlsContext> TlsServer::context() const {
  const system::MutexLock lock(mutex_);
  return context_;
}

bool TlsServer::Begin(TlsStream& stream, int thread) {
  TlsStream* oldest = nullptr;
  {
    const system::MutexLock lock(mutex_);
    std::list<TlsStream*>& own = under_way_[thread];
    if (count_ >= most_handshakes_) {
      if (own.empty() || system::MonotonicNow() - own.front()->began() < grace_) return false;
      oldest = own.front();
    }
    own.push_back(&stream);
    ++count_;
  }
  // On its own thread.
  if (oldest != nullptr) oldest->GiveWay();
  return true;
}

void TlsServer::End(TlsStream& stream, int thread) {
  const system::MutexLock lock(mutex_);
  std::list<TlsStream*>& own = under_way_[thread];
  // Mostly among the first.
  own.erase(std::ranges::find(own, &stream));
  --count_;
}

ByteStreamFactory TlsServer::Streams() {
  return [self = shared_from_this()](IoThread& thread, TcpConnection connection,
                                     ByteStreamListener& listener) {
    return std::make_unique<TlsStream>(thread, connection, listener, self->context(), nullptr,
                                       self);
  };
}

ByteStreamFactory TlsServerStreams(std::shared_ptr<const TlsContext> context) {
  return std::make_shared<TlsServer>(std::move(context))->Streams();
}

}  // namespace headrace::net
