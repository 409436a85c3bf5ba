// What OpenSSL says went wrong, as people read it.
#pragma once

#include <string>
#include <string_view>

#include "net/tls_peer.h"

namespace headrace::net {

// Why a peer's certificate is not trusted, by the result of its verification: a phrase.
std::string WhyNotTrusted(long result, const TlsPeer& peer);

// Of the last failure of OpenSSL, a phrase.
std::string WhyFailed();

// The same of a handshake at the server's end: one of TlsServer::kFaults.
std::string_view FaultOf(unsigned long error);

}  // namespace headrace::net
