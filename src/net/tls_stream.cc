#include "net/tls_stream.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "net/tls_fault.h"

namespace headrace::net {
namespace {

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

// A connection has 34 KB of OpenSSL's buffers. While there are no more connections than this, new
// ones keep theirs between two records, which saves a small request 3 % of its time; others give
// them back (SSL_MODE_RELEASE_BUFFERS).
constexpr int kMostWithBuffers = 1000;
std::atomic<int> with_buffers = 0;

bool IsIpAddress(const std::string& name) {
  in6_addr any;
  return inet_pton(AF_INET, name.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &any) == 1;
}

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

}  // namespace

TlsStream::TlsStream(IoThread& thread, TcpConnection connection, ByteStreamListener& listener,
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
  if (++with_buffers <= kMostWithBuffers) SSL_clear_mode(ssl_, SSL_MODE_RELEASE_BUFFERS);
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

TlsStream::~TlsStream() {
  Close();
  SSL_free(ssl_);
  --with_buffers;
}

std::ptrdiff_t TlsStream::Handshake() {
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

std::ptrdiff_t TlsStream::Read(char* data, std::size_t size) {
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

std::ptrdiff_t TlsStream::Write(std::span<const iovec> pieces) {
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

void TlsStream::ArmRead() {
  wants_read_ = true;
  Arm();
}

void TlsStream::ArmWrite() {
  wants_write_ = true;
  Arm();
}

void TlsStream::ShutdownWrite() {
  SayEnd();
  if (out_.empty()) socket_.ShutdownWrite();
}

void TlsStream::Close() {
  if (closed_) return;
  SayEnd();
  End();
  socket_.Close();
}

void TlsStream::Reset() {
  End();
  socket_.Reset();
}

void TlsStream::GiveWay() {
  failed_ = true;
  EndHandshake("too_many");
  loop_.CallSoon(*this);
}

// --- What OpenSSL reads and writes

const BIO_METHOD* TlsStream::BioMethod() {
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

int TlsStream::BioRead(BIO* bio, char* data, std::size_t size, std::size_t* got) {
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

int TlsStream::BioWrite(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
  static_cast<TlsStream*>(BIO_get_data(bio))->out_.append(data, size);
  *written = size;
  return 1;
}

void TlsStream::HearFirst(const char* data, std::size_t size) {
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

void TlsStream::EndHandshake(std::string_view fault) {
  if (server_ == nullptr || std::exchange(handshake_ended_, true)) return;
  if (!one_too_many_) server_->End(*this, thread_);
  if (!fault.empty()) server_->Fail(fault);
}

std::string_view TlsStream::ServerFault() const {
  if (http_client_) return "plain_http";
  if (plain_peer_) return "not_tls";
  return FaultOf(ERR_peek_last_error());
}

void TlsStream::AnswerInPlain() {
  out_ = kPlainHttpAnswer;
  Flush();
  socket_.ShutdownWrite();
  char bytes[4096];
  std::size_t read = 0;
  for (std::ptrdiff_t got = 0; read < kMostPlainBytes; read += static_cast<std::size_t>(got)) {
    if (got = socket_.Read(bytes, sizeof(bytes)); got <= 0) break;
  }
}

bool TlsStream::Flush() {
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

void TlsStream::SayEnd() {
  if (!open_ || failed_ || deaf_ || closed_ || taken_ > 0) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  Flush();
}

void TlsStream::End() {
  if (std::exchange(closed_, true)) return;
  EndHandshake("timed_out");
  loop_.Forget(*this);
  wants_read_ = wants_write_ = false;
}

void TlsStream::FailWith(std::string fault) {
  failed_ = true;
  if (fault_.empty()) fault_ = std::move(fault);
}

std::string TlsStream::WhyNoHandshake() const {
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

bool TlsStream::ReadDue() const {
  if (!open_) return failed_;
  if (end_told_) return failed_;
  return failed_ || end_ == 0 || readable_ || (!starved_ && SSL_has_pending(ssl_) != 0);
}

void TlsStream::Arm() {
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

void TlsStream::OnReadable() {
  starved_ = false;
  readable_ = true;
  if (end_told_) Drain();
  // Every event is worth a step of the handshake.
  Tell(!open_);
}

void TlsStream::OnWritable() {
  if (connected_) Flush();
  Tell(!open_);
}

void TlsStream::Tell(bool step) {
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

void TlsStream::Drain() {
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

}  // namespace headrace::net
