// Whom the system trusts, for every client of TLS here.
#pragma once

struct ssl_ctx_st;

namespace headrace::net {

// The system's CAs (SSL_CERT_FILE, if set). A static program does not know where the system that it
// runs on has them, and looks in the usual places.
void TrustSystem(ssl_ctx_st* context);

}  // namespace headrace::net
