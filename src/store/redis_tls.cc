#include "store/redis_tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>

#include "net/system_trust.h"

namespace headrace::store {
namespace {

struct ContextFreer {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

// Why the last call failed.
tl::unexpected<Error> Broken(SSL* connection, int result) {
  const int kind = SSL_get_error(connection, result);
  if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
    return Fail("no response in time");
  }
  const long verified = SSL_get_verify_result(connection);
  if (verified != X509_V_OK) {
    return Fail(std::string("its certificate is not trusted: ") +
                X509_verify_cert_error_string(verified));
  }
  const unsigned long code = ERR_get_error();
  if (code == 0 || kind == SSL_ERROR_ZERO_RETURN) return Fail("the connection was closed");
  if (ERR_GET_REASON(code) == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED) {
    return Fail("it wants a certificate: give the URL certificate_file= and key_file=");
  }
  const char* reason = ERR_reason_error_string(code);
  return Fail(std::string("TLS: ") + (reason == nullptr ? "it failed" : reason));
}

// Errors are clauses.
Result<void> ShowCertificate(const RedisUrl& url, SSL_CTX* context) {
  // Nobody is asked for a password in the middle of a connection.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_certificate_chain_file(context, url.certificate_file.c_str()) != 1) {
    return Fail(url.certificate_file + " holds no certificate");
  }
  if (SSL_CTX_use_PrivateKey_file(context, url.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return Fail(url.key_file + " holds no unencrypted key of that certificate");
  }
  return {};
}

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

}  // namespace

void RedisTls::Freer::operator()(ssl_st* connection) const { SSL_free(connection); }

Result<RedisTls> RedisTls::Connect(int socket, const RedisUrl& url) {
  ERR_clear_error();
  const std::unique_ptr<SSL_CTX, ContextFreer> context(SSL_CTX_new(TLS_client_method()));
  if (!context) return Fail("out of memory");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (url.ca_file.empty()) {
    net::TrustSystem(context.get());
  } else if (SSL_CTX_load_verify_file(context.get(), url.ca_file.c_str()) != 1) {
    return Fail(url.ca_file + " holds no certificates");
  }
  if (!url.certificate_file.empty()) HEADRACE_TRY(ShowCertificate(url, context.get()));
  RedisTls tls(SSL_new(context.get()));
  SSL* connection = tls.connection_.get();
  if (connection == nullptr) return Fail("out of memory");
  if (IsAddress(url.host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), url.host.c_str());
  } else {
    SSL_set1_host(connection, url.host.c_str());
    SSL_set_tlsext_host_name(connection, url.host.c_str());
  }
  SSL_set_fd(connection, socket);
  const int result = SSL_connect(connection);
  if (result != 1) return Broken(connection, result);
  return tls;
}

Result<void> RedisTls::Write(std::string_view bytes) {
  ERR_clear_error();
  std::size_t written = 0;
  const int result = SSL_write_ex(connection_.get(), bytes.data(), bytes.size(), &written);
  if (result != 1) return Broken(connection_.get(), result);
  return {};
}

Result<std::size_t> RedisTls::Read(std::span<char> buffer) {
  ERR_clear_error();
  std::size_t got = 0;
  const int result = SSL_read_ex(connection_.get(), buffer.data(), buffer.size(), &got);
  if (result != 1) return Broken(connection_.get(), result);
  return got;
}

bool RedisTls::pending() const { return SSL_pending(connection_.get()) > 0; }

bool RedisTls::IsQuiet() {
  ERR_clear_error();
  const int socket = SSL_get_fd(connection_.get());
  const int flags = fcntl(socket, F_GETFL);
  fcntl(socket, F_SETFL, flags | O_NONBLOCK);
  char byte = 0;
  std::size_t got = 0;
  const int result = SSL_peek_ex(connection_.get(), &byte, 1, &got);
  const bool quiet = result != 1 && SSL_get_error(connection_.get(), result) == SSL_ERROR_WANT_READ;
  fcntl(socket, F_SETFL, flags);
  return quiet;
}

}  // namespace headrace::store
