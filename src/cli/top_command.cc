// A running gateway at a glance, again and again.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "render/top_text.h"
#include "system/clock.h"
#include "system/termination.h"

namespace headrace::cli {
namespace {

constexpr Seconds kTimeout = 3;  // So that Ctrl-C is heard soon.

struct TopOptions {
  AdminOptions admin;
  Seconds every = 2;
  bool once = false;
};

// What is there is kept when the gateway is away.
Result<void> Look(AdminClient& admin, render::TopPicture& picture) {
  HEADRACE_ASSIGN(AdminResponse status, admin.Ask("/status"));
  HEADRACE_ASSIGN(AdminResponse timeline, admin.Ask("/timeline"));
  HEADRACE_TRY(HasMember(status, "models"));
  HEADRACE_TRY(HasMember(timeline, "models"));
  picture.status = std::move(status.text);
  picture.timeline = std::move(timeline.text);
  picture.asked = system::UnixNow();
  picture.notice.clear();
  return {};
}

// Written over the last one, where it stands: what was on the terminal before stays there, and the
// last picture too.
class Screen {
 public:
  void Show(const std::string& text, const render::TextStyle& style) {
    std::string output;
    if (style.width != style_.width || style.height != style_.height) {
      // The terminal has broken the lines anew, so nobody knows where they are.
      if (lines_ > 0) output = "\x1b[H\x1b[J";
    } else if (lines_ > 0) {
      output = "\x1b[" + std::to_string(lines_) + "A\r";
    }
    style_ = style;
    lines_ = static_cast<std::size_t>(std::ranges::count(text, '\n'));
    for (const char c : text) {
      if (c == '\n') output += "\x1b[K";  // What is left of a longer line.
      output += c;
    }
    Print(stdout, output + "\x1b[J");
    std::fflush(stdout);
  }

 private:
  render::TextStyle style_;
  std::size_t lines_ = 0;
};

void Top(const TopOptions& options) {
  system::Termination termination;
  AdminClient admin(options.admin, kTimeout);
  render::TopPicture picture{.address = options.admin.url};
  const bool live = !options.once && isatty(STDOUT_FILENO) == 1;
  if (!live) {
    OrStop(Look(admin, picture));
    render::TextStyle style = OutputStyle();
    style.height = 0;
    Print(stdout, render::TopText(picture, style));
    return;
  }
  Screen screen;
  do {
    if (const auto looked = Look(admin, picture); !looked) {
      picture.notice = "Trying again: " + looked.error().message + ".";
    }
    render::TextStyle style = OutputStyle();
    if (style.height > 0) --style.height;  // For the cursor.
    screen.Show(render::TopText(picture, style), style);
  } while (!termination.Wait(options.every));
}

}  // namespace

void AddTopCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "top", "A running gateway at a glance: its endpoints, queues, SLOs and last refusals");
  auto options = std::make_shared<TopOptions>();
  command->add_option("--every", options->every, "From one look to the next")
      ->transform(InSeconds({0.2, 3600}))
      ->default_str("2s")
      ->type_name("TIME");
  command->add_flag("--once", options->once,
                    "Look once, then end; so it is wherever the output is no terminal");
  AddAdminOptions(*command, options->admin);
  command->callback([options] { Top(*options); });
}

}  // namespace headrace::cli
