// Whom TLS trusts, and what it shows, by OpenSSL: 1.2 and 1.3, for both ends of a connection.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"

// OpenSSL's own type.
struct ssl_ctx_st;

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

}  // namespace headrace::net
