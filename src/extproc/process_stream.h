// One stream of Envoy's: gRPC's side of a request.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <deque>
#include <optional>
#include <string_view>

#include "envoy/service/ext_proc/v3/external_processor.grpc.pb.h"
#include "extproc/completion_thread.h"
#include "extproc/picked_request.h"

namespace headrace::extproc {

// Messages are read and written as bytes, so that each is parsed into, and made from, one that the
// thread keeps.
using ProcessService = envoy::service::ext_proc::v3::ExternalProcessor::WithRawMethod_Process<
    envoy::service::ext_proc::v3::ExternalProcessor::Service>;

// Lives on its thread, and ends itself. A read is always under way, which tells when Envoy is gone.
class ProcessStream final : public Replies {
 public:
  // Waits for a stream and serves it; another one waits from then on. What is passed in must
  // outlive the thread.
  static void Await(ProcessService& service, const PickerContext& context, PickerThread& state,
                    CompletionThread& thread);

  void Send(const envoy::service::ext_proc::v3::ProcessingResponse& reply) override;
  bool busy() const override { return writing_; }
  void Close(std::string_view error) override;

 private:
  ProcessStream(ProcessService& service, const PickerContext& context, PickerThread& state,
                CompletionThread& thread);
  ~ProcessStream() override;

  template <void (ProcessStream::*on_done)(bool ok)>
  static void Call(void* stream, bool ok) {
    (static_cast<ProcessStream*>(stream)->*on_done)(ok);
  }

  void OnBegun(bool ok);
  void Read();
  void OnRead(bool ok);
  void Handle();
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  // Goes on with what there is to do.
  void Pump();
  void EndIfDone();

  ProcessService& service_;
  const PickerContext& context_;
  PickerThread& state_;
  CompletionThread& thread_;
  grpc::ServerContext call_;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_;
  PendingCall begun_;
  PendingCall read_;
  PendingCall written_;
  PendingCall finished_;
  std::optional<PickedRequest> request_;  // Until Envoy has ended the stream.
  grpc::ByteBuffer message_;              // That is read.
  std::deque<grpc::ByteBuffer> replies_;  // Not written yet.
  bool reading_ = false;
  bool writing_ = false;
  bool begun_writing_ = false;
  bool handling_ = false;  // More replies may follow at once.
  bool closing_ = false;
  bool finishing_ = false;
  bool ended_ = false;
  grpc::Status status_;
};

}  // namespace headrace::extproc
