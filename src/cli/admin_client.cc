#include "cli/admin_client.h"

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "base/text.h"
#include "cli/console.h"
#include "net/tls_peer.h"
#include "system/address.h"
#include "system/clock.h"
#include "system/files.h"
#include "system/http_url.h"

namespace headrace::cli {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLargestFile = std::size_t{1} << 20;

std::string TextOf(const std::string& file) {
  return file.empty() ? std::string() : OrStop(system::ReadSmallFile(file, kLargestFile));
}

struct Answer {
  net::CallError error = net::CallError::kNone;
  std::string fault;
  int status = 0;
  std::string body;
};

net::Task<Answer> AskServer(net::HttpClient& client, const net::Destination& destination,
                            const net::RequestHead& head, Seconds timeout) {
  const Seconds deadline = system::MonotonicNow() + timeout;
  Answer answer;
  net::HttpCall call(client);
  answer.error = co_await call.Start(destination, head, {}, deadline);
  answer.status = answer.error == net::CallError::kNone ? call.status() : 0;
  while (answer.error == net::CallError::kNone) {
    const net::HttpCall::Piece piece = co_await call.ReadSome(deadline);
    answer.error = piece.error;
    answer.body += piece.data;
    if (piece.last) break;
  }
  answer.fault = call.Fault();
  co_return answer;
}

// What `net` says of TLS names options of the configuration; here they are those of a command.
std::string InOptions(std::string fault) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"give that CA's as `tls: { ca: … }`", "give that CA's as --ca FILE"},
      {"set `tls: { certificate: …, key: … }`", "give --certificate FILE and --key FILE"},
      {"set `tls: { server_name: … }` to a name", "give --admin a name"},
      {"in `tls: { certificate: … }`", "in --certificate"}};
  for (const auto& [option, ours] : kNames) {
    if (const auto at = fault.find(option); at != fault.npos) {
      fault.replace(at, option.size(), ours);
    }
  }
  return fault;
}

}  // namespace

void AddAdminOptions(CLI::App& command, AdminOptions& options) {
  command
      .add_option("--admin", options.url,
                  "The gateway's admin address; https://HOST:PORT where it has a certificate")
      ->capture_default_str()
      ->type_name("HOST:PORT");
  command
      .add_option("--token-file", options.token_file,
                  "A file with the token that lets in, as the gateway's `admin: { token_file: … }`")
      ->type_name("FILE");
  command
      .add_option("--ca", options.ca,
                  "The CAs that may have signed the gateway's certificate; else the system's")
      ->type_name("FILE");
  auto* const certificate = command
                                .add_option("--certificate", options.certificate,
                                            "The own certificate, if one is asked for")
                                ->type_name("FILE");
  auto* const key = command.add_option("--key", options.key, "Its key")->type_name("FILE");
  certificate->needs(key);
  key->needs(certificate);
}

AdminClient::AdminClient(const AdminOptions& options, Seconds timeout)
    : timeout_(timeout), name_(options.url) {
  const auto url = system::ParseHttpUrl(options.url);
  if (!url) Stop("--admin " + url.error().message + ".", kMisused);
  host_ = url->Authority();
  destination_.address = OrStop(system::Resolve(url->host));
  const std::string text = TextOf(options.token_file);
  token_ = Trimmed(std::string_view(text).substr(0, text.find('\n')));
  if (url->tls) {
    const auto context = net::TlsContext::ForClient({.ca = TextOf(options.ca),
                                                     .certificate = TextOf(options.certificate),
                                                     .key = TextOf(options.key)});
    if (!context) Stop("the connection to " + name_ + " " + context.error().message);
    destination_.tls = std::make_shared<net::TlsPeer>(*context, url->host.host);
  } else if (!options.ca.empty() || !options.certificate.empty()) {
    Stop("--ca and --certificate are for a gateway with TLS; write --admin https://" + host_,
         kMisused);
  }
  client_ = std::make_unique<net::HttpClient>(threads_[0], net::HttpClientOptions());
}

AdminClient::~AdminClient() {
  threads_[0].Run([this] { client_.reset(); });
}

Result<AdminResponse> AdminClient::Call(const std::string& method, const std::string& target) {
  net::RequestHead head(method, target, host_);
  if (!token_.empty()) head.Add("authorization", "Bearer " + token_);
  std::promise<Answer> promise;
  threads_[0].Spawn([&]() -> net::Task<void> {
    promise.set_value(co_await AskServer(*client_, destination_, head, timeout_));
  });
  const Answer answer = promise.get_future().get();
  if (answer.error != net::CallError::kNone) {
    return Fail(
        "no answer from the gateway's admin address " + name_ + " (" +
        (answer.fault.empty() ? std::string(Describe(answer.error)) : InOptions(answer.fault)) +
        "); is it running, and is this the `admin` of its configuration? Another one: --admin "
        "HOST:PORT, or https://HOST:PORT if it has a certificate");
  }
  if (answer.status == 401) {
    return Fail("the gateway at " + name_ + " lets in nobody " +
                (token_.empty()
                     ? "without its token; give the file that holds it: --token-file FILE"
                     : "with this token; --token-file names another one"));
  }
  Json body = Json::parse(answer.body, nullptr, false);
  return AdminResponse{answer.status, std::move(body), answer.body};
}

Result<void> HasMember(const AdminResponse& response, const std::string& name) {
  const Json& body = response.body;
  if (body.is_object() && body.contains(name)) return {};
  if (body.is_object() && body.contains("error") && body["error"].is_string()) {
    return Fail(body["error"].get<std::string>());
  }
  return Fail("what answers there, with status " + std::to_string(response.status) +
              ", is not the admin address of a Headrace of this version; give the `admin` of its "
              "configuration: --admin HOST:PORT");
}

nlohmann::json MemberOf(const AdminResponse& response, const std::string& name) {
  OrStop(HasMember(response, name));
  return response.body[name];
}

}  // namespace headrace::cli
