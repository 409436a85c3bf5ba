// Whom TLS trusts, and what it shows, by OpenSSL: 1.2 and 1.3, for both ends of a connection.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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
  // `others`: of the same server, with the same CA, each for the names of its certificate. A client
  // that asks for another name, or for none, is shown this one's. Of two for one name the first is
  // taken; a name as it is goes before "*.".
  static Result<std::shared_ptr<const TlsContext>> ForServer(
      const Options& options, std::vector<std::shared_ptr<const TlsContext>> others = {});

  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  ssl_ctx_st* get() const { return context_; }
  bool verifies() const { return verifies_; }
  // When the own certificate ends (Unix time); 0 without one.
  Seconds ends() const { return ends_; }
  // The hosts' names that a server's own certificate is for (subjectAltName), in lower case.
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<std::shared_ptr<const TlsContext>>& others() const { return others_; }
  // Of a server: what to show a client that asks for this name; null: nothing else than it does.
  ssl_ctx_st* ForName(std::string_view asked) const;

 private:
  TlsContext(ssl_ctx_st* context, bool verifies) : context_(context), verifies_(verifies) {}

  void AddNamesOf(const TlsContext& other);

  ssl_ctx_st* context_;
  bool verifies_;
  Seconds ends_ = 0;
  std::vector<std::string> names_;
  std::vector<std::shared_ptr<const TlsContext>> others_;
  std::map<std::string, ssl_ctx_st*> by_name_;  // Of its own and of others_, if there are others.
};

}  // namespace headrace::net
