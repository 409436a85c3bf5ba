#include "net/http_client_connection.h"

#include <algorithm>
#include <utility>

#include "net/socket.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

constexpr std::size_t kMaxSpareBuffers = 64;

}  // namespace

HttpClientConnection::HttpClientConnection(HttpClient::Impl& client, const Destination& endpoint,
                                           int descriptor)
    : client_(client),
      endpoint_(endpoint),
      deadline_(client.thread.deadlines(), [this] { OnDeadline(); }),
      stream_(MakeStreamTo(descriptor)) {}

std::unique_ptr<ByteStream> HttpClientConnection::MakeStreamTo(int descriptor) {
  const TcpConnection connection = {descriptor, endpoint_.address.family(), /*connecting=*/true};
  if (endpoint_.tls) return MakeTlsStream(client_.thread, connection, *this, endpoint_.tls);
  return MakeStream(client_.options.stream_factory, client_.thread, connection, *this);
}

Task<HttpClientConnection::Wake> HttpClientConnection::Wait(bool read, bool write,
                                                            Seconds deadline) {
  if (interrupted_) co_return Wake::kInterrupted;
  wants_read_ = read;
  wants_write_ = write;
  if (read) stream_->ArmRead();
  if (write) stream_->ArmWrite();
  deadline_.Set(deadline);
  co_await sleep_.Wait();
  deadline_.Clear();
  wants_read_ = wants_write_ = false;
  co_return interrupted_ ? Wake::kInterrupted : woken_by_;
}

void HttpClientConnection::OnReadable() {
  if (pooled_) {
    char byte = 0;
    if (stream_->Read(&byte, 1) == ByteStream::kNotNow) {
      stream_->ArmRead();
    } else {
      LeavePool();
    }
  } else if (wants_read_) {
    woken_by_ = Wake::kReadable;
    sleep_.Resume();
  }
}

void HttpClientConnection::OnWritable() {
  if (!wants_write_) return;
  woken_by_ = Wake::kWritable;
  sleep_.Resume();
}

void HttpClientConnection::OnDeadline() {
  if (pooled_) {
    LeavePool();
  } else {
    woken_by_ = Wake::kTimeout;
    sleep_.Resume();
  }
}

void HttpClientConnection::Interrupt() {
  if (interrupted_) return;
  interrupted_ = true;
  stream_->Close();
  if (!sleep_.waiting()) return;
  client_.thread.Post([weak = weak_from_this()] {
    if (const auto alive = weak.lock()) alive->sleep_.Resume();
  });
}

void HttpClientConnection::EnterPool(Seconds until) {
  pooled_ = true;
  stream_->ArmRead();
  deadline_.Set(until);
}

void HttpClientConnection::LeavePool() {
  pooled_ = false;
  deadline_.Clear();
  client_.Drop(*this);
}

std::shared_ptr<HttpClientConnection> HttpClient::Impl::TakeIdle(const Destination& endpoint) {
  const auto found = pools.find(endpoint);
  if (found == pools.end() || found->second.empty()) return nullptr;
  std::shared_ptr<HttpClientConnection> connection = found->second.back();
  connection->LeavePool();
  return connection;
}

void HttpClient::Impl::Return(std::shared_ptr<HttpClientConnection> connection) {
  Pool& pool = pools[connection->endpoint()];
  if (pool.size() >= options.max_idle_per_endpoint) return;
  connection->EnterPool(system::MonotonicNow() + options.idle_timeout);
  pool.push_back(std::move(connection));
}

void HttpClient::Impl::Drop(HttpClientConnection& idle_connection) {
  const auto entry = pools.find(idle_connection.endpoint());
  if (entry == pools.end()) return;
  Pool& pool = entry->second;
  const auto same = [&](const auto& other) { return other.get() == &idle_connection; };
  // From the back: the last one in is the first one out.
  const auto found = std::find_if(pool.rbegin(), pool.rend(), same);
  if (found != pool.rend()) pool.erase(std::next(found).base());
  // Its TLS context, which may be of a configuration that was, is not kept for an empty pool.
  if (pool.empty() && entry->first.tls != nullptr) pools.erase(entry);
}

std::unique_ptr<char[]> HttpClient::Impl::TakeBuffer() {
  if (buffers.empty()) {
    return std::make_unique_for_overwrite<char[]>(options.read_buffer_bytes);
  }
  std::unique_ptr<char[]> buffer = std::move(buffers.back());
  buffers.pop_back();
  return buffer;
}

void HttpClient::Impl::ReturnBuffer(std::unique_ptr<char[]> buffer) {
  if (buffer && buffers.size() < kMaxSpareBuffers) buffers.push_back(std::move(buffer));
}

HttpClient::HttpClient(IoThread& thread, HttpClientOptions options)
    : impl_(std::make_unique<Impl>(thread, std::move(options))) {
  HttpClientOptions& own = impl_->options;
  own.read_buffer_bytes = std::max(own.read_buffer_bytes, own.max_head_bytes);
}

HttpClient::~HttpClient() = default;

IoThread& HttpClient::thread() const { return impl_->thread; }

std::size_t HttpClient::idle_connections() const {
  std::size_t count = 0;
  for (const auto& [endpoint, pool] : impl_->pools) count += pool.size();
  return count;
}

void HttpClient::CloseIdle(const Destination& endpoint) { impl_->pools.erase(endpoint); }

void HttpClient::CloseIdle() { impl_->pools.clear(); }

}  // namespace headrace::net
