#include "net/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <string_view>
#include <utility>

#include "net/system_trust.h"
#include "net/tls_peer.h"

namespace headrace::net {
namespace {

constexpr unsigned char kHttp11[] = "\x08http/1.1";

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Names = std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio Reading(std::string_view text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

// The next certificate of a text; null behind the last one.
Certificate NextCertificate(BIO* text) {
  return {PEM_read_bio_X509(text, nullptr, nullptr, nullptr), &X509_free};
}

Result<void> Trust(const std::string& ca, SSL_CTX* context) {
  const Bio text = Reading(ca);
  int found = 0;
  while (const Certificate certificate = NextCertificate(text.get())) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate.get());
    ++found;
  }
  ERR_clear_error();
  if (found == 0) return Fail("has a CA file without a certificate in PEM form");
  return {};
}

Result<void> Identify(const std::string& chain, const std::string& key, SSL_CTX* context) {
  if (chain.empty()) return Fail("has a key without a certificate");
  if (key.empty()) return Fail("has a certificate without its key");
  const Bio text = Reading(chain);
  const Certificate own = NextCertificate(text.get());
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1) {
    return Fail("has a certificate file without a certificate in PEM form");
  }
  while (const Certificate next = NextCertificate(text.get())) {
    SSL_CTX_add1_chain_cert(context, next.get());
  }
  const Bio key_text = Reading(key);
  // Not asked for on the terminal: an encrypted key is none.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const Key own_key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, no_password, nullptr),
                    &EVP_PKEY_free);
  if (!own_key)
    return Fail("has a key file without a private key in PEM form that is not encrypted");
  if (SSL_CTX_use_PrivateKey(context, own_key.get()) != 1) {
    return Fail("has a key that is not the certificate's");
  }
  ERR_clear_error();
  return {};
}

int SessionIsNew(SSL* ssl, SSL_SESSION* session) {
  static_cast<TlsPeer*>(SSL_get_app_data(ssl))->Keep(session);
  return 1;
}

// Of the protocols that a client offers: HTTP/1.1. One that speaks none of ours is told so.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* in, unsigned in_size, void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof(kHttp11) - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// The certificate for the name that a client asks for. All else is the same in every context.
int ChooseCertificate(SSL* ssl, int* /*alert*/, void* context) {
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_CTX* const chosen = static_cast<const TlsContext*>(context)->ForName(name);
  if (chosen == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_SSL_CTX(ssl, chosen);
  return SSL_TLSEXT_ERR_OK;
}

tl::unexpected<Error> NoTls() {
  ERR_clear_error();
  return Fail("OpenSSL gives no cipher for TLS; check its configuration (openssl.cnf)");
}

// Null where OpenSSL's configuration leaves no cipher.
SSL_CTX* MakeContext(const SSL_METHOD* method) {
  SSL_CTX* const context = SSL_CTX_new(method);
  if (context == nullptr) return nullptr;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // Renegotiation would make a write wait for a read.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  // As many bytes as have come, not a record's head first.
  SSL_CTX_set_read_ahead(context, 1);
  // A CA that is given is trusted, whoever has signed it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  return context;
}
std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

// The hosts' names that it is for, in lower case; "*.lake.example" among them.
std::vector<std::string> NamesOf(const X509* certificate) {
  std::vector<std::string> names;
  const Names alternatives(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(
                               certificate, NID_subject_alt_name, nullptr, nullptr)),
                           &GENERAL_NAMES_free);
  for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (name->type != GEN_DNS) continue;
    const auto* const text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    names.push_back(Lower({text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))}));
  }
  return names;
}

Seconds EndOf(const X509* certificate) {
  std::tm time{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) return 0;
  return static_cast<Seconds>(timegm(&time));
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::ForClient(const Options& options) {
  std::shared_ptr<TlsContext> made(
      new TlsContext(MakeContext(TLS_client_method()), options.verify));
  SSL_CTX* const context = made->context_;
  if (context == nullptr) return NoTls();
  SSL_CTX_set_alpn_protos(context, kHttp11, sizeof(kHttp11) - 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, &SessionIsNew);
  SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!options.ca.empty()) {
    HEADRACE_TRY(Trust(options.ca, context));
  } else if (options.verify) {
    TrustSystem(context);
  }
  if (!options.certificate.empty() || !options.key.empty()) {
    HEADRACE_TRY(Identify(options.certificate, options.key, context));
  }
  return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::ForServer(
    const Options& options, std::vector<std::shared_ptr<const TlsContext>> others) {
  std::shared_ptr<TlsContext> made(
      new TlsContext(MakeContext(TLS_server_method()), !options.ca.empty()));
  SSL_CTX* const context = made->context_;
  if (context == nullptr) return NoTls();
  SSL_CTX_set_alpn_select_cb(context, &ChooseProtocol, nullptr);
  // Sessions are in the tickets that clients keep, and cost no memory here.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  HEADRACE_TRY(Identify(options.certificate, options.key, context));
  made->ends_ = EndOf(SSL_CTX_get0_certificate(context));
  made->names_ = NamesOf(SSL_CTX_get0_certificate(context));
  made->others_ = std::move(others);
  if (!made->others_.empty()) {
    made->AddNamesOf(*made);
    for (const auto& other : made->others_) made->AddNamesOf(*other);
    SSL_CTX_set_tlsext_servername_callback(context, &ChooseCertificate);
    SSL_CTX_set_tlsext_servername_arg(context, made.get());
  }
  if (!options.ca.empty()) {
    HEADRACE_TRY(Trust(options.ca, context));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    static constexpr unsigned char kName[] = "headrace";
    SSL_CTX_set_session_id_context(context, kName, sizeof(kName) - 1);
  }
  return made;
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

void TlsContext::AddNamesOf(const TlsContext& other) {
  for (const std::string& name : other.names_) by_name_.emplace(name, other.context_);
}

ssl_ctx_st* TlsContext::ForName(std::string_view asked) const {
  const std::string name = Lower(asked);
  auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    found = by_name_.find("*" + name.substr(std::min(name.find('.'), name.size())));
  }
  return found == by_name_.end() ? nullptr : found->second;
}

}  // namespace headrace::net
