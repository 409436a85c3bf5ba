// One TLS connection, for both of its ends.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/units.h"
#include "net/byte_stream.h"
#include "net/event_loop.h"
#include "net/socket.h"
#include "net/tls_context.h"
#include "net/tls_peer.h"
#include "net/tls_server.h"
#include "system/clock.h"

namespace headrace::net {

// OpenSSL reads straight from the socket. What it writes is gathered, and goes out in one system
// call; so no call of OpenSSL ever waits for a write.
class TlsStream final : public ByteStream, private ByteStreamListener, private Watcher {
 public:
  TlsStream(IoThread& thread, TcpConnection connection, ByteStreamListener& listener,
            std::shared_ptr<const TlsContext> context, std::shared_ptr<TlsPeer> peer,
            std::shared_ptr<TlsServer> server);
  ~TlsStream() override;
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;
  std::ptrdiff_t Handshake() override;
  std::ptrdiff_t Read(char* data, std::size_t size) override;
  std::ptrdiff_t Write(std::span<const iovec> pieces) override;
  void ArmRead() override;
  void ArmWrite() override;
  void ShutdownWrite() override;
  void Close() override;
  void Reset() override;
  std::string Fault() const override { return fault_; }

  // Of a handshake that is under way: when it began, and its end, for another one's sake.
  Seconds began() const { return began_; }
  void GiveWay();

 private:
  // --- What OpenSSL reads and writes

  static const BIO_METHOD* BioMethod();
  static int BioRead(BIO* bio, char* data, std::size_t size, std::size_t* got);
  static int BioWrite(BIO* bio, const char* data, std::size_t size, std::size_t* written);
  void HearFirst(const char* data, std::size_t size);

  // The server's handshake is over, once; `fault`: empty if it has succeeded.
  void EndHandshake(std::string_view fault);
  std::string_view ServerFault() const;
  void AnswerInPlain();

  // Sends what is due. False if no more can be sent; what the peer has said may still be read.
  bool Flush();
  void SayEnd();
  void End();
  void FailWith(std::string fault);
  std::string WhyNoHandshake() const;

  // --- Call backs

  bool ReadDue() const;
  bool WriteDue() const { return failed_ || deaf_ || (open_ && out_.empty()); }

  void Arm();
  void OnReadable() override;
  void OnWritable() override;
  void OnTurn() override { Tell(false); }
  void OnEvents(std::uint32_t /*events*/) override {}

  void Tell(bool step);

  // Behind the end of TLS comes that of TCP, or a reset.
  void Drain();

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

}  // namespace headrace::net
