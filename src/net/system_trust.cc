#include "net/system_trust.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <cstdlib>

namespace headrace::net {
#ifdef HEADRACE_STATIC
namespace {

// OpenSSL looks for the system's CAs where the system that built it has them: Debian.
constexpr std::array<const char*, 3> kCaBundles{
    "/etc/ssl/certs/ca-certificates.crt",  // Debian, Ubuntu, Arch, Alpine.
    "/etc/pki/tls/certs/ca-bundle.crt",    // Fedora, Red Hat.
    "/etc/ssl/ca-bundle.pem",              // SUSE.
};

}  // namespace
#endif

void TrustSystem(ssl_ctx_st* context) {
  SSL_CTX_set_default_verify_paths(context);
#ifdef HEADRACE_STATIC
  if (std::getenv("SSL_CERT_FILE") != nullptr) return;
  for (const char* bundle : kCaBundles) {
    if (SSL_CTX_load_verify_file(context, bundle) == 1) break;
  }
  ERR_clear_error();
#endif
}

}  // namespace headrace::net
