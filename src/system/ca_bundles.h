// Where systems keep the certificates of the CAs that they trust.
#pragma once

#include <array>

namespace headrace::system {

// For a static program: OpenSSL looks for them where the system that built it has them, and it
// comes from Debian and runs elsewhere.
inline constexpr std::array<const char*, 3> kCaBundles{
    "/etc/ssl/certs/ca-certificates.crt",  // Debian, Ubuntu, Arch, Alpine.
    "/etc/pki/tls/certs/ca-bundle.crt",    // Fedora, Red Hat.
    "/etc/ssl/ca-bundle.pem",              // SUSE.
};

}  // namespace headrace::system
