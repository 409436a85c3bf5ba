// What an operator tells a running gateway, over its admin address.
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/limits.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "system/clock.h"
#include "system/url.h"

namespace headrace::cli {
namespace {

using Json = nlohmann::json;

constexpr auto kLookAgain = std::chrono::milliseconds(200);

void PrintList(const std::string& title, const Json& texts) {
  if (texts.empty()) return;
  Print(stdout, title + "\n");
  for (const Json& text : texts) Print(stdout, "  " + text.get<std::string>() + "\n");
}

void Reload(const AdminOptions& admin) {
  const AdminResponse response = AdminClient(admin).Post("/-/reload");
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
  AdminOptions admin;
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
  AdminClient admin(options.admin);
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
  MemberOf(AdminClient(options.admin).Post(TargetOf("/-/resume", options)), "drained");
  Print(stdout, options.endpoint + " gets requests again\n");
}

void AddModelOption(CLI::App& command, std::string& model) {
  command.add_option("--model", model, "Only in this model")->type_name("NAME");
}

}  // namespace

void AddReloadCommand(CLI::App& app) {
  auto* command =
      app.add_subcommand("reload", "Make a running gateway read its configuration file again");
  auto admin = std::make_shared<AdminOptions>();
  AddAdminOptions(*command, *admin);
  command->callback([admin] { Reload(*admin); });
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
  AddAdminOptions(*command, options->admin);
  command->callback([options] { Drain(*options); });
}

void AddResumeCommand(CLI::App& app) {
  auto* command = app.add_subcommand("resume", "Let a drained endpoint get requests again");
  auto options = std::make_shared<DrainOptions>();
  command->add_option("endpoint", options->endpoint, "Its address, as /status shows it")
      ->required()
      ->type_name("ENDPOINT");
  AddModelOption(*command, options->model);
  AddAdminOptions(*command, options->admin);
  command->callback([options] { Resume(*options); });
}

}  // namespace headrace::cli
