#include "cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

#include "base/duration.h"
#include "base/text.h"
#include "render/table.h"
#include "system/files.h"

namespace headrace::cli {

std::size_t TerminalWidth(int file, std::size_t otherwise) {
  winsize size{};
  return ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : otherwise;
}

void Print(std::FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
}

bool IsLost(std::FILE* stream) {
  const bool written = std::fflush(stream) == 0 && std::ferror(stream) == 0;
  return !written && !system::ReaderHasLeft(stream);
}

void Stop(const std::string& sentence, int status) {
  Print(stderr, sentence + "\n");
  throw CLI::RuntimeError(status);
}

render::TextStyle OutputStyle() {
  render::TextStyle style;
  if (isatty(STDOUT_FILENO) != 1) return style;
  const char* no_color = std::getenv("NO_COLOR");
  style.color = no_color == nullptr || *no_color == '\0';
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.width = size.ws_col;
    style.height = size.ws_row;
  }
  return style;
}

StatusLine::StatusLine() : live_(isatty(STDERR_FILENO) == 1) {}

void StatusLine::Show(const std::string& text) {
  // The last column stays free: some terminals begin a new line there.
  if (!live_) return;
  constexpr std::size_t kUsual = 80;
  cli::Print(stderr, "\r\x1b[K" + render::Cut(text, TerminalWidth(STDERR_FILENO, kUsual) - 1));
}

void StatusLine::Print(const std::string& line) {
  Show("");
  cli::Print(stderr, line + "\n");
}

std::string TimeLeft(Seconds elapsed, std::size_t done, std::size_t all) {
  if (done == 0) return "";
  const Seconds left = elapsed * static_cast<double>(all - done) / static_cast<double>(done);
  return left < 100 ? FormatFixed(left, 0) + " s left" : FormatFixed(left / 60, 0) + " min left";
}

CLI::Validator Quiet(CLI::Validator validator) { return validator.description(""); }

CLI::Validator Within(const NumberRange& range) {
  return {[range](const std::string& text) -> std::string {
            double number = 0;
            if (!CLI::detail::lexical_cast(text, number)) return text + " is not a number";
            return range.Contains(number) ? "" : text + " " + OutOfBounds(range);
          },
          ""};
}

CLI::Validator InSeconds(const NumberRange& range) {
  return {[range](std::string& text) -> std::string {
            double seconds = 0;
            if (!CLI::detail::lexical_cast(text, seconds)) {
              const Result<Seconds> duration = ParseDuration(text);
              if (!duration) return text + " " + duration.error().message;
              seconds = *duration;
            }
            if (!range.Contains(seconds)) return text + " " + DurationOutOfBounds(range);
            text = FormatJsonNumber(seconds);
            return "";
          },
          ""};
}

}  // namespace headrace::cli
