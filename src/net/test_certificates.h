// For tests: a CA, and the certificates that it signs.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace headrace::net {

struct TestCertificate {  // In PEM form.
  std::string certificate;
  std::string key;
};

class TestCa {
 public:
  explicit TestCa(const std::string& name = "test CA") : key_(NewKey()) {
    certificate_ = Made(name, key_.get(), nullptr, 3600);
    Extend(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(certificate_.get(), key_.get(), EVP_sha256());
  }

  std::string certificate() const { return Pem(certificate_.get()); }

  // `names` as OpenSSL writes them: "DNS:engine.test,IP:127.0.0.1". `valid` seconds from now; a
  // negative number: it has expired.
  TestCertificate Issue(const std::string& names, long valid = 3600) const {
    const KeyPtr key = NewKey();
    const CertificatePtr certificate = Made("test", key.get(), certificate_.get(), valid);
    Extend(certificate.get(), NID_subject_alt_name, names.c_str());
    X509_sign(certificate.get(), key_.get(), EVP_sha256());
    return {Pem(certificate.get()), Pem(key.get())};
  }

 private:
  using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;

  static KeyPtr NewKey() { return {EVP_EC_gen("P-256"), &EVP_PKEY_free}; }

  static CertificatePtr Made(const std::string& name, EVP_PKEY* key, X509* issuer, long valid) {
    static long serial = 0;
    CertificatePtr made(X509_new(), &X509_free);
    X509_set_version(made.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -7200);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), valid);
    X509_set_pubkey(made.get(), key);
    X509_NAME* const subject = X509_get_subject_name(made.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(made.get(), issuer != nullptr ? X509_get_subject_name(issuer) : subject);
    return made;
  }

  static void Extend(X509* certificate, int what, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value);
    if (extension == nullptr || X509_add_ext(certificate, extension, -1) != 1) std::abort();
    X509_EXTENSION_free(extension);
  }

  static std::string Pem(X509* certificate) {
    return Text([&](BIO* to) { PEM_write_bio_X509(to, certificate); });
  }
  static std::string Pem(EVP_PKEY* key) {
    return Text(
        [&](BIO* to) { PEM_write_bio_PrivateKey(to, key, nullptr, nullptr, 0, nullptr, nullptr); });
  }
  template <typename Write>
  static std::string Text(const Write& write) {
    BIO* const memory = BIO_new(BIO_s_mem());
    write(memory);
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(memory);
    return text;
  }

  KeyPtr key_;
  CertificatePtr certificate_{nullptr, &X509_free};
};

}  // namespace headrace::net
