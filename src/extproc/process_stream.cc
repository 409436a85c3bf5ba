#include "extproc/process_stream.h"

#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include <string>
#include <utility>

namespace headrace::extproc {
namespace {

// A message that is longer is not kept for its memory.
constexpr std::size_t kMostKeptBytes = std::size_t{256} << 10;

}  // namespace

using envoy::service::ext_proc::v3::ProcessingRequest;
using envoy::service::ext_proc::v3::ProcessingResponse;

void ProcessStream::Await(ProcessService& service, const PickerContext& context,
                          PickerThread& state, CompletionThread& thread) {
  auto* const stream = new ProcessStream(service, context, state, thread);
  service.RequestProcess(&stream->call_, &stream->stream_, &thread.queue(), &thread.queue(),
                         &stream->begun_);
}

ProcessStream::ProcessStream(ProcessService& service, const PickerContext& context,
                             PickerThread& state, CompletionThread& thread)
    : service_(service),
      context_(context),
      state_(state),
      thread_(thread),
      stream_(&call_),
      begun_(this, &Call<&ProcessStream::OnBegun>),
      read_(this, &Call<&ProcessStream::OnRead>),
      written_(this, &Call<&ProcessStream::OnWritten>),
      finished_(this, &Call<&ProcessStream::OnFinished>) {
  thread_.Enter();
}

ProcessStream::~ProcessStream() { thread_.Leave(); }

void ProcessStream::OnBegun(bool ok) {
  if (!ok) {  // The server stops.
    delete this;
    return;
  }
  Await(service_, context_, state_, thread_);
  request_.emplace(context_, state_, *this);
  Read();
}

void ProcessStream::Read() {
  reading_ = true;
  stream_.Read(&message_, &read_);
}

void ProcessStream::OnRead(bool ok) {
  reading_ = false;
  if (ok) {
    handling_ = true;
    Handle();
    handling_ = false;
    Read();
    Pump();
    return;
  }
  request_->OnClosed();
  request_.reset();
  closing_ = true;
  Pump();
  EndIfDone();
}

void ProcessStream::Handle() {
  {
    grpc::ProtoBufferReader bytes(&message_);
    if (bytes.status().ok() && state_.request.ParseFromZeroCopyStream(&bytes)) {
      request_->OnMessage(state_.request);
    } else {
      Close("This is no message of Envoy's external processing.");
    }
  }
  // The request may wait for long.
  if (message_.Length() > kMostKeptBytes) state_.request.Clear();
  message_.Clear();
}

void ProcessStream::Send(const ProcessingResponse& reply) {
  grpc::ByteBuffer& bytes = replies_.emplace_back();
  const std::size_t size = reply.ByteSizeLong();
  {
    grpc::ProtoBufferWriter writer(&bytes, grpc::kProtoBufferWriterMaxBufferLength,
                                   static_cast<int>(size));
    reply.SerializeToZeroCopyStream(&writer);
  }
  if (size > kMostKeptBytes) state_.reply.Clear();
  if (!handling_) Pump();
}

void ProcessStream::Close(std::string_view error) {
  closing_ = true;
  if (!error.empty()) status_ = grpc::Status(grpc::StatusCode::INTERNAL, std::string(error));
  if (!handling_) Pump();
}

void ProcessStream::OnWritten(bool ok) {
  writing_ = false;
  if (!ok) replies_.clear();  // Nobody is there to read them; the next read says so.
  if (request_ && replies_.empty() && !closing_) {
    handling_ = true;
    request_->OnSent();
    handling_ = false;
  }
  Pump();
}

void ProcessStream::Pump() {
  if (writing_ || finishing_) return;
  if (!replies_.empty()) {
    grpc::WriteOptions options;
    // They leave together; but the first one takes the stream's own headers with it.
    if (begun_writing_ && replies_.size() > 1) options.set_buffer_hint();
    begun_writing_ = true;
    writing_ = true;
    stream_.Write(replies_.front(), options, &written_);
    replies_.pop_front();
  } else if (closing_) {
    finishing_ = true;
    stream_.Finish(status_, &finished_);
  }
}

void ProcessStream::OnFinished(bool /*ok*/) {
  ended_ = true;
  EndIfDone();
}

// A read that is under way ends with the stream.
void ProcessStream::EndIfDone() {
  if (ended_ && !reading_) delete this;
}

}  // namespace headrace::extproc
