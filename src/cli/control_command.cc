// What an operator tells a running gateway, over its admin address.
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "net/http_client.h"
#include "net/io_threads.h"
#include "system/address.h"
#include "system/clock.h"
#include "system/url.h"

namespace headrace::cli {
namespace {

using Json = nlohmann::json;

constexpr Seconds kTimeout = 60;  // A reload looks up names and reads profiles.
constexpr auto kLookAgain = std::chrono::milliseconds(200);

struct AdminResponse {
  net::CallError error = net::CallError::kNone;
  int status = 0;
  Json body;
};

net::Task<void> PostTo(net::HttpClient& client, system::SocketAddress address, std::string target,
                       AdminResponse& response) {
  const Seconds deadline = system::MonotonicNow() + kTimeout;
  const std::string host = address.ToString();
  const net::RequestHead head("POST", target, host);
  net::HttpCall call(client);
  response.error = co_await call.Start(address, head, {}, deadline);
  if (response.error != net::CallError::kNone) co_return;
  response.status = call.status();
  std::string text;
  for (;;) {
    const net::HttpCall::Piece piece = co_await call.ReadSome(deadline);
    response.error = piece.error;
    if (piece.error != net::CallError::kNone) co_return;
    text += piece.data;
    if (piece.last) break;
  }
  response.body = Json::parse(text, nullptr, false);
}

// The gateway's admin pages.
class Admin {
 public:
  explicit Admin(const std::string& address)
      : name_(address),
        address_(OrStop(system::ParseHostPort(address).and_then(system::Resolve))) {}

  AdminResponse Post(const std::string& target) {
    net::IoThreads threads(1);
    AdminResponse response;
    std::atomic<bool> done = false;
    auto client = std::make_unique<net::HttpClient>(threads[0], net::HttpClientOptions());
    threads[0].Spawn([&]() -> net::Task<void> {
      co_await PostTo(*client, address_, target, response);
      done = true;
      done.notify_one();
    });
    done.wait(false);
    threads[0].Run([&] { client.reset(); });
    if (response.error != net::CallError::kNone) {
      Stop("no answer from the gateway's admin address " + name_ + " (" +
           std::string(Describe(response.error)) +
           "); is it running, and is this the `admin` of its configuration? Another one: --admin "
           "HOST:PORT");
    }
    return response;
  }

 private:
  std::string name_;
  system::SocketAddress address_;
};

// A member of the answer. Without it the program stops: with the gateway's own sentence, or because
// whoever answered is no admin address.
Json MemberOf(const AdminResponse& response, const std::string& name) {
  const Json& body = response.body;
  if (body.is_object() && body.contains(name)) return body[name];
  if (body.is_object() && body.contains("error") && body["error"].is_string()) {
    Stop(body["error"].get<std::string>());
  }
  Stop("what answers there, with status " + std::to_string(response.status) +
       ", is not the admin address of a Headrace of this version; give the `admin` of its "
       "configuration: --admin HOST:PORT");
}

void PrintList(const std::string& title, const Json& texts) {
  if (texts.empty()) return;
  Print(stdout, title + "\n");
  for (const Json& text : texts) Print(stdout, "  " + text.get<std::string>() + "\n");
}

void Reload(const std::string& address) {
  const AdminResponse response = Admin(address).Post("/-/reload");
  if (response.status == 422) {
    std::string faults;
    for (const Json& fault : MemberOf(response, "faults"))
      faults += "\n" + fault.get<std::string>();
    Stop("the configuration file was not taken over, the one before stays in force:" + faults);
  }
  const Json changed = MemberOf(response, "changed");
  if (changed.empty()) Print(stdout, "nothing has changed\n");
  PrintList("in force now:", changed);
  PrintList("need a restart:", MemberOf(response, "awaiting_restart"));
}

struct DrainOptions {
  std::string admin = "127.0.0.1:9090";
  std::string endpoint;
  std::string model;
  Seconds wait = 0;
};

std::string TargetOf(const std::string& path, const DrainOptions& options) {
  std::string target = path + "?endpoint=" + system::PercentEncode(options.endpoint);
  if (!options.model.empty()) target += "&model=" + system::PercentEncode(options.model);
  return target;
}

void Drain(const DrainOptions& options) {
  Admin admin(options.admin);
  if (options.endpoint.empty()) {
    if (!options.model.empty()) Stop("--model needs an endpoint; write its address before it");
    MemberOf(admin.Post("/-/drain"), "draining");
    Print(stdout, "the gateway drains and then ends\n");
    return;
  }
  const Seconds end = system::MonotonicNow() + options.wait;
  StatusLine status;
  for (;;) {
    const int running = MemberOf(admin.Post(TargetOf("/-/drain", options)), "in_flight").get<int>();
    if (running == 0 || system::MonotonicNow() >= end) {
      status.Show("");
      Print(stdout, options.endpoint + " gets no new requests; " + std::to_string(running) +
                        " still run there\n");
      if (running > 0 && options.wait > 0) throw CLI::RuntimeError(1);
      return;
    }
    status.Show(std::to_string(running) + " requests run at " + options.endpoint);
    std::this_thread::sleep_for(kLookAgain);
  }
}

void Resume(const DrainOptions& options) {
  MemberOf(Admin(options.admin).Post(TargetOf("/-/resume", options)), "drained");
  Print(stdout, options.endpoint + " gets requests again\n");
}

void AddAdminOption(CLI::App& command, std::string& admin) {
  command.add_option("--admin", admin, "The gateway's admin address")
      ->capture_default_str()
      ->type_name("HOST:PORT");
}

void AddModelOption(CLI::App& command, std::string& model) {
  command.add_option("--model", model, "Only in this model")->type_name("NAME");
}

}  // namespace

void AddReloadCommand(CLI::App& app) {
  auto* command =
      app.add_subcommand("reload", "Make a running gateway read its configuration file again");
  auto options = std::make_shared<DrainOptions>();
  AddAdminOption(*command, options->admin);
  command->callback([options] { Reload(options->admin); });
}

void AddDrainCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "drain", "Keep new requests from an endpoint; without one, end a gateway in good order");
  auto options = std::make_shared<DrainOptions>();
  command->add_option("endpoint", options->endpoint, "Its address, as /status shows it")
      ->type_name("ENDPOINT");
  AddModelOption(*command, options->model);
  command
      ->add_option("--wait", options->wait,
                   "Wait so long for its last request to end; status 1 if some still run then")
      ->transform(InSeconds({0, 86400}))
      ->type_name("TIME");
  AddAdminOption(*command, options->admin);
  command->callback([options] { Drain(*options); });
}

void AddResumeCommand(CLI::App& app) {
  auto* command = app.add_subcommand("resume", "Let a drained endpoint get requests again");
  auto options = std::make_shared<DrainOptions>();
  command->add_option("endpoint", options->endpoint, "Its address, as /status shows it")
      ->required()
      ->type_name("ENDPOINT");
  AddModelOption(*command, options->model);
  AddAdminOption(*command, options->admin);
  command->callback([options] { Resume(*options); });
}

}  // namespace headrace::cli
