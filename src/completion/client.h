// One call of a client: send a completion request, read the response, and time both.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "completion/request.h"
#include "net/http_client.h"
#include "net/io_threads.h"
#include "openai/response.h"
#include "slo/slo.h"
#include "system/address.h"
#include "system/http_url.h"

namespace headrace::completion {

enum class Outcome {
  kCompleted,      // Status 200 and whole, with at least one token; a stream with its end.
  kNoToken,        // The same without a token, or a stream that brought none, whatever its usage
                   // says. Every request asks for some.
  kErrorStatus,    // A whole response with any other status.
  kErrorInStream,  // Status 200, and an error object in the stream.
  kBrokenOff,      // No connection, not HTTP, or ended before its end.
  kTimedOut,       // Not whole at its deadline.
  kStopped,        // By this client.
};

struct Response {
  Outcome outcome = Outcome::kStopped;
  net::CallError error = net::CallError::kNone;
  std::string fault;       // The error, as a phrase.
  int status = 0;          // 0: no head came.
  bool streamed = false;   // As events, not as one JSON object.
  std::string deployment;  // Header target-deployment, else target-pod; may be empty.
  std::string text;        // The body of a response that is not a stream, up to kMaxTextBytes.
  std::string said;        // What is wrong, in the server's own words; may be empty.
  // How long the router says that it kept the request (Headrace, asked by x-headrace-explain).
  std::optional<Seconds> queued;
  std::optional<openai::Usage> usage;
  Tokens pieces = 0;  // Events that brought a piece of the output; about one token each.

  // Times on MonotonicNow; 0 for what did not happen. A response that is not a stream has no first
  // token: nobody knows when it was there.
  Seconds due = 0;
  Seconds sent = 0;  // Handed to the kernel.
  Seconds head = 0;
  Seconds first_token = 0;
  Seconds last_token = 0;
  Seconds end = 0;

  static constexpr std::size_t kMaxTextBytes = 1 << 20;
};

// Why a response is not completed, as a phrase: "status 502", "stream ended without its end".
std::string Describe(const Response& response);

// Latencies count from when the request was due; without a first token there is no TTFT. Lengths
// are those of the usage; without one, `prompt_tokens` and the pieces.
slo::RequestLatency LatencyOf(const Response& response, Tokens prompt_tokens);

// A server that answers completion requests.
struct Endpoint {
  net::Destination destination;
  std::string url;                        // As messages name it.
  std::string host;                       // The Host header.
  std::string base = {};                  // Before every path.
  std::vector<std::string> headers = {};  // For each request, "Name: value".
};
// Looks its name up. One with TLS has to have a certificate for its name from a CA that the system
// trusts, or that the file SSL_CERT_FILE holds.
Result<Endpoint> EndpointAt(const system::HttpUrl& url);
// Plain HTTP.
Endpoint EndpointAt(const system::SocketAddress& address);

// The calls to one endpoint, over pooled connections. All on one thread; must outlive its calls,
// and ends there, or after the thread has ended.
class Client {
 public:
  Client(net::IoThread& thread, Endpoint endpoint);

  // Sends the request now and reads the response until `deadline`. `due` (≤ now) is when it should
  // have been sent. `on_head` hears of a response once its status and headers are known.
  net::Task<Response> Complete(Request request, Seconds due, Seconds deadline,
                               std::function<void(const Response&)> on_head = nullptr);
  // A GET of something small, such as /v1/models.
  net::Task<Response> Get(std::string path, Seconds deadline);

  // Ends the open calls: they are kStopped.
  void BreakOff();
  // And every later one, at once.
  void Stop();
  bool stopped() const { return stopped_; }

 private:
  net::Task<Response> Call(net::RequestHead head, std::string body, openai::ApiKind api,
                           Seconds due, Seconds deadline,
                           std::function<void(const Response&)> on_head);

  Endpoint endpoint_;
  net::HttpClient http_;
  std::set<net::HttpCall*> calls_;
  bool stopped_ = false;
};

}  // namespace headrace::completion
