#include "extproc/certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace headrace::extproc {
namespace {

constexpr long kDay = 24L * 3600;
constexpr long kValid = 3650 * kDay;

using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;

std::string TextOf(const std::function<int(BIO*)>& write) {
  const BioPtr memory(BIO_new(BIO_s_mem()), &BIO_free);
  if (memory == nullptr || write(memory.get()) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

BioPtr Reading(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

}  // namespace

Result<KeyPair> SelfSigned() {
  const KeyPtr key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const CertificatePtr made(X509_new(), &X509_free);
  std::uint32_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -kDay);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), kValid);
  X509_set_pubkey(made.get(), key.get());
  X509_NAME* const name = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("headrace"), -1, -1, 0);
  X509_set_issuer_name(made.get(), name);
  X509_EXTENSION* const names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:headrace,DNS:localhost");
  X509_add_ext(made.get(), names, -1);
  X509_EXTENSION_free(names);
  X509_sign(made.get(), key.get(), EVP_sha256());
  KeyPair pair{.certificate = TextOf([&](BIO* to) { return PEM_write_bio_X509(to, made.get()); }),
               .key = TextOf([&](BIO* to) {
                 return PEM_write_bio_PrivateKey(to, key.get(), nullptr, nullptr, 0, nullptr,
                                                 nullptr);
               })};
  HEADRACE_TRY(CheckKeyPair(pair));
  return pair;
}

Result<void> CheckKeyPair(const KeyPair& pair) {
  const CertificatePtr certificate(
      PEM_read_bio_X509(Reading(pair.certificate).get(), nullptr, nullptr, nullptr), &X509_free);
  if (certificate == nullptr) return Fail("has no certificate in PEM form");
  const KeyPtr key(PEM_read_bio_PrivateKey(Reading(pair.key).get(), nullptr, nullptr, nullptr),
                   &EVP_PKEY_free);
  if (key == nullptr) return Fail("has no key in PEM form, or it is encrypted");
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Fail("has a key that does not belong to the certificate");
  }
  return {};
}

}  // namespace headrace::extproc
