#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>

#include "net/socket.h"
#include "net/system_trust.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

constexpr unsigned char kHttp11[] = "\x08http/1.1";
constexpr std::size_t kRecord = SSL3_RT_MAX_PLAIN_LENGTH;
// Encrypted by one Write, and sent in one system call.
constexpr std::size_t kMostPerWrite = 4 * kRecord;

// OpenSSL goes on within one call while what comes is no data: key updates, to each of which it
// writes an answer, or requests to negotiate anew. An honest peer sends less of that.
constexpr std::size_t kMostWithoutData = 4 * kRecord;
// Behind the end of TLS.
constexpr std::size_t kMostBehindEnd = kRecord;

// For a client that takes the port for one of plain HTTP.
constexpr std::string_view kPlainHttpAnswer =
    "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 57\r\n"
    "connection: close\r\n\r\nThis port speaks TLS; the URL has to begin with https://\n";
// Of what it has sent: closing a socket with unread bytes could take the answer from it.
constexpr std::size_t kMostPlainBytes = std::size_t{256} * 1024;

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio Reading(std::string_view text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

// The next certificate of a text; null behind the last one.
Certificate NextCertificate(BIO* text) {
  return {PEM_read_bio_X509(text, nullptr, nullptr, nullptr), &X509_free};
}

bool IsIpAddress(const std::string& name) {
  in6_addr any;
  return inet_pton(AF_INET, name.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &any) == 1;
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

SSL_CTX* MakeContext(const SSL_METHOD* method) {
  SSL_CTX* const context = SSL_CTX_new(method);
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

// --- What went wrong, a phrase

std::string WhyNotTrusted(long result, const TlsPeer& peer) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "its certificate, or one of the chain, has expired; renew it";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "its certificate is not valid yet; check the clocks";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "its certificate is not for " + peer.name() +
             "; set `tls: { server_name: … }` to a name that it is for";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return "its certificate is signed by a CA that is not known here; give that CA's as "
             "`tls: { ca: … }`";
    default:
      return std::string("its certificate is not accepted (") +
             X509_verify_cert_error_string(result) + ")";
  }
}

// Of the last failure of OpenSSL.
std::string WhyFailed() {
  const unsigned long error = ERR_peek_last_error();
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return "the TLS connection broke off";
  switch (ERR_GET_REASON(error)) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return "it closed the TLS connection without saying so";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return "it has neither TLS 1.2 nor 1.3";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return "it asks for a client's certificate; set `tls: { certificate: …, key: … }`";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      return "it does not accept the certificate in `tls: { certificate: … }`";
    default:
      break;
  }
  const char* const reason = ERR_reason_error_string(error);
  return std::string("TLS failed (") + (reason != nullptr ? reason : "unknown") + ")";
}

// The same of a handshake at the server's end: one of TlsServer::kFaults.
std::string_view FaultOf(unsigned long error) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return "closed";
  switch (ERR_GET_REASON(error)) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return "closed";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "no_certificate";
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return "bad_certificate";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      return "not_trusted_by";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return "not_offered";
    default:
      return "other";
  }
}

Seconds EndOf(const X509* certificate) {
  std::tm time{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) return 0;
  return static_cast<Seconds>(timegm(&time));
}

}  // namespace

// --- TlsContext

Result<std::shared_ptr<const TlsContext>> TlsContext::ForClient(const Options& options) {
  std::shared_ptr<TlsContext> made(
      new TlsContext(MakeContext(TLS_client_method()), options.verify));
  SSL_CTX* const context = made->context_;
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

Result<std::shared_ptr<const TlsContext>> TlsContext::ForServer(const Options& options) {
  std::shared_ptr<TlsContext> made(
      new TlsContext(MakeContext(TLS_server_method()), !options.ca.empty()));
  SSL_CTX* const context = made->context_;
  SSL_CTX_set_alpn_select_cb(context, &ChooseProtocol, nullptr);
  // Sessions are in the tickets that clients keep, and cost no memory here.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  HEADRACE_TRY(Identify(options.certificate, options.key, context));
  made->ends_ = EndOf(SSL_CTX_get0_certificate(context));
  if (!options.ca.empty()) {
    HEADRACE_TRY(Trust(options.ca, context));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    static constexpr unsigned char kName[] = "headrace";
    SSL_CTX_set_session_id_context(context, kName, sizeof(kName) - 1);
  }
  return made;
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

// --- TlsPeer

TlsPeer::~TlsPeer() { SSL_SESSION_free(session_); }

void TlsPeer::Keep(SSL_SESSION* session) {
  const system::MutexLock lock(mutex_);
  SSL_SESSION_free(std::exchange(session_, session));
}

SSL_SESSION* TlsPeer::Session() const {
  const system::MutexLock lock(mutex_);
  if (session_ != nullptr) SSL_SESSION_up_ref(session_);
  return session_;
}

// --- The stream

// OpenSSL reads straight from the socket. What it writes is gathered, and goes out in one system
// call; so no call of OpenSSL ever waits for a write.
class TlsStream final : public ByteStream, private ByteStreamListener, private Watcher {
 public:
  TlsStream(IoThread& thread, TcpConnection connection, ByteStreamListener& listener,
            std::shared_ptr<const TlsContext> context, std::shared_ptr<TlsPeer> peer,
            std::shared_ptr<TlsServer> server)
      : loop_(thread.loop()),
        thread_(thread.index()),
        listener_(listener),
        context_(std::move(context)),
        peer_(std::move(peer)),
        server_(std::move(server)),
        ssl_(SSL_new(context_->get())),
        socket_(thread, connection, *this) {
    BIO* const bio = BIO_new(BioMethod());
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_, bio, bio);
    if (server_ != nullptr) {
      SSL_set_accept_state(ssl_);
      one_too_many_ = !server_->Begin(*this, thread_);
      return;
    }
    SSL_set_connect_state(ssl_);
    SSL_set_app_data(ssl_, peer_.get());
    if (SSL_SESSION* const session = peer_->Session()) {
      SSL_set_session(ssl_, session);
      SSL_SESSION_free(session);
    }
    if (IsIpAddress(peer_->name())) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), peer_->name().c_str());
    } else {
      SSL_set1_host(ssl_, peer_->name().c_str());
      SSL_set_tlsext_host_name(ssl_, peer_->name().c_str());
    }
  }
  ~TlsStream() override {
    Close();
    SSL_free(ssl_);
  }
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  std::ptrdiff_t Handshake() override {
    if (closed_ || failed_) return kFailed;
    if (one_too_many_) {
      failed_ = true;
      EndHandshake("too_many");
      return kFailed;
    }
    if (!connected_) {
      if (const std::ptrdiff_t step = socket_.Handshake(); step != 0) return step;
      connected_ = true;
    }
    if (!shaken_) {
      readable_ = false;
      ERR_clear_error();
      const int result = SSL_do_handshake(ssl_);
      shaken_ = result == 1;
      if (!shaken_ && SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ) {
        fault_ = WhyNoHandshake();
        failed_ = true;
        EndHandshake(ServerFault());
        if (http_client_) {
          AnswerInPlain();
        } else {
          Flush();  // The alert.
        }
        return kFailed;
      }
    }
    if (!Flush()) {
      EndHandshake("closed");
      return kFailed;
    }
    open_ = shaken_ && out_.empty();
    if (open_) EndHandshake({});
    return open_ ? 0 : kNotNow;
  }

  std::ptrdiff_t Read(char* data, std::size_t size) override {
    readable_ = false;
    std::size_t got = 0;
    while (got < size && end_ == kNotNow && !failed_) {
      std::size_t more = 0;
      ERR_clear_error();
      const int result = SSL_read_ex(ssl_, data + got, size - got, &more);
      if (result == 1) {
        without_data_ = 0;
        got += more;
        if (SSL_has_pending(ssl_) == 0) break;  // The socket knows whether there is more.
        continue;
      }
      const int error = SSL_get_error(ssl_, result);
      if (error == SSL_ERROR_WANT_READ) {
        starved_ = true;
        break;
      }
      if (error == SSL_ERROR_ZERO_RETURN) {
        end_ = 0;
      } else {
        FailWith(WhyFailed());
      }
    }
    Flush();  // The reply to a key update.
    if (got > 0) return static_cast<std::ptrdiff_t>(got);
    if (failed_) return kFailed;
    end_told_ = end_ == 0;
    return end_;
  }

  std::ptrdiff_t Write(std::span<const iovec> pieces) override {
    if (failed_ || !Flush()) return kFailed;
    if (!out_.empty()) return kNotNow;
    // What the last call encrypted is out now.
    if (taken_ > 0) return static_cast<std::ptrdiff_t>(std::exchange(taken_, 0));
    std::size_t taken = 0;
    Pieces left(pieces);
    while (taken < kMostPerWrite) {
      const std::string_view plain = left.Next(std::min(kRecord, kMostPerWrite - taken));
      if (plain.empty()) break;
      std::size_t written = 0;
      ERR_clear_error();
      if (SSL_write_ex(ssl_, plain.data(), plain.size(), &written) != 1) {
        FailWith(WhyFailed());
        return kFailed;
      }
      taken += written;
    }
    if (!Flush()) return kFailed;
    if (out_.empty()) return static_cast<std::ptrdiff_t>(taken);
    taken_ = taken;
    return kNotNow;
  }

  void ArmRead() override {
    wants_read_ = true;
    Arm();
  }
  void ArmWrite() override {
    wants_write_ = true;
    Arm();
  }

  void ShutdownWrite() override {
    SayEnd();
    if (out_.empty()) socket_.ShutdownWrite();
  }
  void Close() override {
    if (closed_) return;
    SayEnd();
    End();
    socket_.Close();
  }
  void Reset() override {
    End();
    socket_.Reset();
  }
  std::string Fault() const override { return fault_; }

  // Of a handshake that is under way: when it began, and its end, for another one's sake.
  Seconds began() const { return began_; }
  void GiveWay() {
    failed_ = true;
    EndHandshake("too_many");
    loop_.CallSoon(*this);
  }

 private:
  // Pieces as texts of up to one record each.
  class Pieces {
   public:
    explicit Pieces(std::span<const iovec> pieces) : pieces_(pieces) {}

    // The next bytes, `most` if there are so many; valid until the next call.
    std::string_view Next(std::size_t most) {
      static thread_local char record[kRecord];
      std::size_t size = 0;
      while (size < most && !pieces_.empty()) {
        const iovec& piece = pieces_.front();
        const std::size_t count = std::min(most - size, piece.iov_len - at_);
        const char* const from = static_cast<const char*>(piece.iov_base) + at_;
        at_ += count;
        if (at_ == piece.iov_len) {
          pieces_ = pieces_.subspan(1);
          at_ = 0;
        }
        if (count == most) return {from, count};  // As it is.
        std::copy_n(from, count, record + size);
        size += count;
      }
      return {record, size};
    }

   private:
    std::span<const iovec> pieces_;
    std::size_t at_ = 0;  // In the first one.
  };

  // --- What OpenSSL reads and writes

  static const BIO_METHOD* BioMethod() {
    static const BIO_METHOD* const method = [] {
      BIO_METHOD* const made =
          BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "headrace socket");
      BIO_meth_set_read_ex(made, &BioRead);
      BIO_meth_set_write_ex(made, &BioWrite);
      BIO_meth_set_ctrl(made, [](BIO* bio, int command, long, void*) -> long {
        if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
        return command == BIO_CTRL_FLUSH ? 1 : 0;
      });
      return made;
    }();
    return method;
  }

  static int BioRead(BIO* bio, char* data, std::size_t size, std::size_t* got) {
    auto& stream = *static_cast<TlsStream*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    *got = 0;
    if (stream.without_data_ > kMostWithoutData) {
      stream.FailWith("it sends TLS records and no data");
      return 0;
    }
    const std::ptrdiff_t count = stream.socket_.Read(data, size);
    if (count > 0) {
      *got = static_cast<std::size_t>(count);
      if (stream.shaken_) stream.without_data_ += *got;
      if (!stream.heard_) stream.HearFirst(data, *got);
      return 1;
    }
    if (count == kNotNow) BIO_set_retry_read(bio);
    if (count == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return 0;
  }

  static int BioWrite(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
    static_cast<TlsStream*>(BIO_get_data(bio))->out_.append(data, size);
    *written = size;
    return 1;
  }

  void HearFirst(const char* data, std::size_t size) {
    heard_ = true;
    // The types of TLS records, in the clear, are 20 to 24.
    plain_peer_ = data[0] < 20 || data[0] > 24;
    const std::string_view text(data, size);
    http_peer_ = text.starts_with("HTTP/");
    const std::size_t method = text.substr(0, 16).find(' ');
    http_client_ =
        server_ != nullptr && method != text.npos &&
        std::ranges::all_of(text.substr(0, method), [](char c) { return c >= 'A' && c <= 'Z'; });
  }

  // The server's handshake is over, once; `fault`: empty if it has succeeded.
  void EndHandshake(std::string_view fault) {
    if (server_ == nullptr || std::exchange(handshake_ended_, true)) return;
    if (!one_too_many_) server_->End(*this, thread_);
    if (!fault.empty()) server_->Fail(fault);
  }

  std::string_view ServerFault() const {
    if (http_client_) return "plain_http";
    if (plain_peer_) return "not_tls";
    return FaultOf(ERR_peek_last_error());
  }

  void AnswerInPlain() {
    out_ = kPlainHttpAnswer;
    Flush();
    socket_.ShutdownWrite();
    char bytes[4096];
    std::size_t read = 0;
    for (std::ptrdiff_t got = 0; read < kMostPlainBytes; read += static_cast<std::size_t>(got)) {
      if (got = socket_.Read(bytes, sizeof(bytes)); got <= 0) break;
    }
  }

  // Sends what is due. False if no more can be sent; what the peer has said may still be read.
  bool Flush() {
    std::size_t sent = 0;
    while (sent < out_.size() && !deaf_) {
      const iovec piece = {out_.data() + sent, out_.size() - sent};
      const std::ptrdiff_t count = socket_.Write(std::span(&piece, 1));
      deaf_ = count == kFailed;
      if (count <= 0) break;
      sent += static_cast<std::size_t>(count);
    }
    out_.erase(0, sent);
    if (out_.empty()) {
      if (out_.capacity() > 2 * kRecord) std::string().swap(out_);
    } else if (!deaf_) {
      socket_.ArmWrite();
    }
    return !deaf_;
  }

  void SayEnd() {
    if (!open_ || failed_ || deaf_ || closed_ || taken_ > 0) return;
    ERR_clear_error();
    SSL_shutdown(ssl_);
    Flush();
  }

  void End() {
    if (std::exchange(closed_, true)) return;
    EndHandshake("timed_out");
    loop_.Forget(*this);
    wants_read_ = wants_write_ = false;
  }

  void FailWith(std::string fault) {
    failed_ = true;
    if (fault_.empty()) fault_ = std::move(fault);
  }

  std::string WhyNoHandshake() const {
    if (http_peer_) return "it speaks plain HTTP there; write http:// instead of https://";
    if (plain_peer_) return "it does not speak TLS there";
    if (!heard_) return "it closed the connection instead of speaking TLS";
    const long trusted = SSL_get_verify_result(ssl_);
    if (peer_ != nullptr && context_->verifies() && trusted != X509_V_OK) {
      return WhyNotTrusted(trusted, *peer_);
    }
    return WhyFailed();
  }

  // --- Call backs

  bool ReadDue() const {
    if (!open_) return failed_;
    if (end_told_) return failed_;
    return failed_ || end_ == 0 || readable_ || (!starved_ && SSL_has_pending(ssl_) != 0);
  }
  bool WriteDue() const { return failed_ || deaf_ || (open_ && out_.empty()); }

  void Arm() {
    if (closed_) return;
    if ((wants_read_ && ReadDue()) || (wants_write_ && WriteDue())) {
      loop_.CallSoon(*this);
    } else if (!connected_) {
      socket_.ArmWrite();
    } else {
      if (wants_read_ || !open_) socket_.ArmRead();
      if (!out_.empty() && !deaf_) socket_.ArmWrite();
    }
  }

  void OnReadable() override {
    starved_ = false;
    readable_ = true;
    if (end_told_) Drain();
    // Every event is worth a step of the handshake.
    Tell(!open_);
  }
  void OnWritable() override {
    if (connected_) Flush();
    Tell(!open_);
  }
  void OnTurn() override { Tell(false); }
  void OnEvents(std::uint32_t /*events*/) override {}

  void Tell(bool step) {
    const bool write = wants_write_ && (step || WriteDue());
    const bool read = wants_read_ && ReadDue();
    // Each may end this object: the other one gets a turn of its own.
    if (write && read) loop_.CallSoon(*this);
    if (read) {
      wants_read_ = false;
      listener_.OnReadable();
    } else if (write) {
      wants_write_ = false;
      listener_.OnWritable();
    } else {
      Arm();
    }
  }

  // Behind the end of TLS comes that of TCP, or a reset.
  void Drain() {
    char bytes[256];
    std::ptrdiff_t got = 0;
    while (behind_end_ <= kMostBehindEnd && (got = socket_.Read(bytes, sizeof(bytes))) > 0) {
      behind_end_ += static_cast<std::size_t>(got);
    }
    readable_ = false;
    if (got == kFailed || tcp_end_told_ || behind_end_ > kMostBehindEnd) {
      FailWith("the TLS connection broke off");
    }
    tcp_end_told_ = got == 0;
  }

  EventLoop& loop_;
  const int thread_;
  const Seconds began_ = system::MonotonicNow();
  ByteStreamListener& listener_;
  std::shared_ptr<const TlsContext> context_;
  std::shared_ptr<TlsPeer> peer_;      // At the client's end, …
  std::shared_ptr<TlsServer> server_;  // … or at the server's; the other one is null.
  SSL* ssl_;
  Socket socket_;
  std::string out_;        // Encrypted, not yet taken by the socket.
  std::size_t taken_ = 0;  // Bytes of a Write that are in out_ and were not yet said to be taken.
  std::size_t without_data_ = 0;  // Bytes from the socket since the last that Read returned.
  std::size_t behind_end_ = 0;    // Bytes that Drain has read.
  std::string fault_;
  std::ptrdiff_t end_ = kNotNow;  // 0 once the peer's end is here.
  bool connected_ = false;        // TCP is.
  bool shaken_ = false;           // OpenSSL has shaken hands, …
  bool open_ = false;             // … and the last bytes of that are out.
  bool closed_ = false;
  bool failed_ = false;
  bool deaf_ = false;      // The peer reads no more.
  bool end_told_ = false;  // Read has returned 0.
  bool tcp_end_told_ = false;
  bool readable_ = false;  // The socket has told so.
  bool starved_ = false;   // What OpenSSL holds is no whole record.
  bool wants_read_ = false;
  bool wants_write_ = false;
  bool heard_ = false;        // Bytes have come, …
  bool plain_peer_ = false;   // … and the first ones were not TLS, …
  bool http_peer_ = false;    // … but HTTP's, of a server …
  bool http_client_ = false;  // … or of a client.
  bool one_too_many_ = false;
  bool handshake_ended_ = false;
};

std::unique_ptr<ByteStream> MakeTlsStream(IoThread& thread, TcpConnection connection,
                                          ByteStreamListener& listener,
                                          std::shared_ptr<TlsPeer> peer) {
  // The peer keeps its context.
  std::shared_ptr<const TlsContext> context(peer, &peer->context());
  return std::make_unique<TlsStream>(thread, connection, listener, std::move(context),
                                     std::move(peer), nullptr);
}

// --- TlsServer

void TlsServer::Exchange(std::shared_ptr<const TlsContext> context) {
  const system::MutexLock lock(mutex_);
  context_.swap(context);
}

std::shared_ptr<const TlsContext> TlsServer::context() const {
  const system::MutexLock lock(mutex_);
  return context_;
}

bool TlsServer::Begin(TlsStream& stream, int thread) {
  TlsStream* oldest = nullptr;
  {
    const system::MutexLock lock(mutex_);
    std::list<TlsStream*>& own = under_way_[thread];
    if (count_ >= most_handshakes_) {
      if (own.empty() || system::MonotonicNow() - own.front()->began() < grace_) return false;
      oldest = own.front();
    }
    own.push_back(&stream);
    ++count_;
  }
  // On its own thread.
  if (oldest != nullptr) oldest->GiveWay();
  return true;
}

void TlsServer::End(TlsStream& stream, int thread) {
  const system::MutexLock lock(mutex_);
  std::list<TlsStream*>& own = under_way_[thread];
  // Mostly among the first.
  own.erase(std::ranges::find(own, &stream));
  --count_;
}

ByteStreamFactory TlsServer::Streams() {
  return [self = shared_from_this()](IoThread& thread, TcpConnection connection,
                                     ByteStreamListener& listener) {
    return std::make_unique<TlsStream>(thread, connection, listener, self->context(), nullptr,
                                       self);
  };
}

ByteStreamFactory TlsServerStreams(std::shared_ptr<const TlsContext> context) {
  return std::make_shared<TlsServer>(std::move(context))->Streams();
}

}  // namespace headrace::net
