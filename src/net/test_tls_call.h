// For tests: one request over TLS.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_client.h"
#include "net/test_peers.h"
#include "net/tls_peer.h"
#include "system/clock.h"

namespace headrace::net {

struct TlsAnswer {
  CallError error = CallError::kNone;
  std::string fault;
  int status = 0;
  std::string body;
};

// `own`: what the client trusts and shows. The server's certificate has to be for `server`; if that
// is a host's name, it is asked for.
inline TlsAnswer CallOverTls(const system::SocketAddress& address, const TlsContext::Options& own,
                             std::string_view method, const std::string& target,
                             const std::vector<std::pair<std::string, std::string>>& headers = {},
                             const std::string& body = "",
                             const std::string& server = "127.0.0.1") {
  const Destination destination(address,
                                std::make_shared<TlsPeer>(*TlsContext::ForClient(own), server));
  IoThreads threads(1);
  auto client = std::make_unique<HttpClient>(threads[0], HttpClientOptions());
  RequestHead head(method, target, "localhost");
  for (const auto& [name, value] : headers) head.Add(name, value);
  TlsAnswer answer = RunTask<TlsAnswer>(threads[0], [&]() -> Task<TlsAnswer> {
    HttpCall call(*client);
    const std::string_view pieces[] = {body};
    const Seconds deadline = system::MonotonicNow() + 30;
    TlsAnswer got;
    got.error = co_await call.Start(destination, head, pieces, deadline);
    if (got.error == CallError::kNone) got.status = call.status();
    while (got.error == CallError::kNone) {
      const HttpCall::Piece piece = co_await call.ReadSome(deadline);
      got.error = piece.error;
      got.body += piece.data;
      if (piece.last) break;
    }
    got.fault = call.Fault();
    co_return got;
  });
  threads[0].Run([&] { client.reset(); });
  return answer;
}

}  // namespace headrace::net
