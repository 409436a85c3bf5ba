// Why requests of a running gateway went where they went.
#include <memory>
#include <string>

#include "base/limits.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "render/explanation_text.h"
#include "system/url.h"

namespace headrace::cli {
namespace {

struct ExplainOptions {
  AdminOptions admin;
  std::string request_id;
  int last = 20;
  bool json = false;
};

void Explain(const ExplainOptions& options) {
  AdminClient admin(options.admin);
  const bool one = !options.request_id.empty();
  const AdminResponse response =
      admin.Get(one ? "/explain/" + system::PercentEncode(options.request_id)
                    : "/explain?last=" + std::to_string(options.last));
  MemberOf(response, one ? "request_id" : "requests");
  const render::TextStyle style = OutputStyle();
  Print(stdout, options.json ? response.text
                : one        ? render::ExplanationText(response.text, style)
                             : render::RequestsText(response.text, style));
}

}  // namespace

void AddExplainCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "explain",
      "Why one of the last requests went where it went; without an id, the latest requests");
  auto options = std::make_shared<ExplainOptions>();
  auto* const id = command
                       ->add_option("id", options->request_id,
                                    "Its id, as its response says in the header x-request-id")
                       ->type_name("ID");
  command->add_option("--last", options->last, "So many of the latest requests")
      ->check(Within({1, 200}))
      ->capture_default_str()
      ->type_name("N")
      ->excludes(id);
  command->add_flag("--json", options->json, "As the gateway says it: JSON");
  AddAdminOptions(*command, options->admin);
  command->callback([options] { Explain(*options); });
}

}  // namespace headrace::cli
