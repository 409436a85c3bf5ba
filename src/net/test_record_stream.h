// For tests: a byte stream between HTTP and the socket that is as awkward as TLS, and simpler.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/byte_stream.h"
#include "net/socket.h"

namespace headrace::net {

// Both sides greet each other before the first byte. Bytes travel in small records, nothing of them
// in plain text. Each record must be acknowledged before the next one may be sent, so that writing
// waits for a read; and its receiver may use it only when the acknowledgement is out, so that
// reading waits for a write. Reads give few bytes at a time and keep the rest.
//
//   record = type ('H' hello, 'A' acknowledgement, 'D' data) [length (1 byte) payload, for 'D']
//
// Every byte is XORed with kKey.
class RecordStream final : public ByteStream, private ByteStreamListener {
 public:
  static constexpr char kKey = 0x5A;
  static constexpr std::size_t kMostPayload = 100;
  static constexpr std::size_t kMostRead = 37;

  RecordStream(IoThread& thread, TcpConnection connection, ByteStreamListener& listener)
      : thread_(thread),
        listener_(listener),
        initiates_(connection.connecting),
        socket_(thread, connection, *this) {}
  ~RecordStream() override { Close(); }

  std::ptrdiff_t Handshake() override {
    if (!connected_) {
      if (const std::ptrdiff_t step = socket_.Handshake(); step != 0) return step;
      connected_ = true;
      if (initiates_) Put("H");
    }
    Pump();
    if (failed_ || ended_) return kFailed;
    if (!greeted_ || !out_.empty()) return kNotNow;
    open_ = true;
    return 0;
  }

  std::ptrdiff_t Read(char* data, std::size_t size) override {
    Pump();
    if (!failed_ && !out_.empty()) return kNotNow;  // The acknowledgement first.
    if (!plain_.empty()) {
      const std::size_t count = std::min({size, kMostRead, plain_.size()});
      plain_.copy(data, count);
      plain_.erase(0, count);
      return static_cast<std::ptrdiff_t>(count);
    }
    end_told_ = !failed_ && ended_;
    return failed_ ? kFailed : ended_ ? 0 : kNotNow;
  }

  std::ptrdiff_t Write(std::span<const iovec> pieces) override {
    Pump();
    if (failed_ || ended_) return kFailed;
    if (unacknowledged_ || !out_.empty()) return kNotNow;
    std::string payload;
    for (const iovec& piece : pieces) {
      payload.append(static_cast<const char*>(piece.iov_base),
                     std::min(piece.iov_len, kMostPayload - payload.size()));
    }
    Put("D" + std::string(1, static_cast<char>(payload.size())) + payload);
    unacknowledged_ = true;
    Pump();
    return static_cast<std::ptrdiff_t>(payload.size());
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
    Pump();
    socket_.ShutdownWrite();
  }
  void Close() override {
    alive_.reset();
    socket_.Close();
  }
  void Reset() override {
    alive_.reset();
    socket_.Reset();
  }

 private:
  void OnReadable() override {
    if (ended_) failed_ = true;  // Behind the end only a reset can follow.
    Progress();
  }
  void OnWritable() override { Progress(); }

  bool Readable() const {
    return failed_ || (out_.empty() && (!plain_.empty() || (ended_ && !end_told_)));
  }
  bool Writable() const { return failed_ || ended_ || (!unacknowledged_ && out_.empty()); }

  void Put(std::string_view record) {
    for (const char c : record) out_ += static_cast<char>(c ^ kKey);
  }

  // Moves what can be moved, in both directions.
  void Pump() {
    char bytes[97];  // So that records are cut anywhere.
    std::ptrdiff_t got = 0;
    while ((got = socket_.Read(bytes, sizeof(bytes))) > 0) {
      for (const char c : std::string_view(bytes, static_cast<std::size_t>(got))) {
        in_ += static_cast<char>(c ^ kKey);
      }
    }
    ended_ = ended_ || got == 0;
    failed_ = failed_ || got == kFailed;
    while (!in_.empty() && !failed_) {
      std::size_t size = 1;
      if (in_[0] == 'H') {
        greeted_ = true;
        if (!initiates_) Put("H");
      } else if (in_[0] == 'A') {
        unacknowledged_ = false;
      } else if (in_[0] == 'D') {
        if (in_.size() < 2 || in_.size() < 2U + static_cast<unsigned char>(in_[1])) break;
        size = 2U + static_cast<unsigned char>(in_[1]);
        plain_.append(in_, 2, size - 2);
        Put("A");
      } else {
        failed_ = true;
      }
      in_.erase(0, size);
    }
    while (!out_.empty() && !failed_) {
      const iovec piece = {out_.data(), out_.size()};
      const std::ptrdiff_t sent = socket_.Write(std::span(&piece, 1));
      if (sent == kNotNow) break;
      failed_ = sent == kFailed;
      if (sent > 0) out_.erase(0, static_cast<std::size_t>(sent));
    }
  }

  void Arm() {
    if (connected_ && ((wants_read_ && Readable()) || (wants_write_ && Writable() && open_))) {
      thread_.Post([this, weak = std::weak_ptr(alive_)] {
        if (weak.lock()) Progress();
      });
      return;
    }
    if (connected_) socket_.ArmRead();
    if (!connected_ || !out_.empty()) socket_.ArmWrite();
  }

  void Progress() {
    const std::weak_ptr weak(alive_);  // A call back may end this stream.
    if (connected_) Pump();
    // Every event is worth a step of the handshake.
    if (wants_write_ && (!open_ || Writable())) {
      wants_write_ = false;
      listener_.OnWritable();
      if (weak.expired()) return;
    }
    if (wants_read_ && Readable()) {
      wants_read_ = false;
      listener_.OnReadable();
      if (weak.expired()) return;
    }
    if (wants_read_ || wants_write_) Arm();
  }

  IoThread& thread_;
  ByteStreamListener& listener_;
  bool initiates_;
  Socket socket_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // Null once closed.
  bool connected_ = false;                                      // TCP is.
  bool greeted_ = false;                                        // The peer's hello is here.
  bool open_ = false;
  bool ended_ = false;
  bool end_told_ = false;  // Read has returned 0.
  bool failed_ = false;
  bool unacknowledged_ = false;
  bool wants_read_ = false;
  bool wants_write_ = false;
  std::string in_;     // Decoded, not yet a whole record.
  std::string plain_;  // Not yet read.
  std::string out_;    // Encoded, not yet taken by the socket.
};

inline ByteStreamFactory RecordStreams() {
  return [](IoThread& thread, TcpConnection connection, ByteStreamListener& listener) {
    return std::make_unique<RecordStream>(thread, connection, listener);
  };
}

}  // namespace headrace::net
