#include "cli/console.h"

#include "base/duration.h"
#include "base/text.h"

namespace headrace::cli {

void Print(std::FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
}

void Stop(const std::string& sentence) {
  Print(stderr, sentence + "\n");
  throw CLI::RuntimeError(1);
}

CLI::Validator Quiet(CLI::Validator validator) { return validator.description(""); }

CLI::Validator AboveZero() {
  return {[](const std::string& text) -> std::string {
            double number = 0;
            if (CLI::detail::lexical_cast(text, number) && number > 0) return "";
            return text + " is not a number above 0";
          },
          ""};
}

CLI::Validator InSeconds() {
  return {[](std::string& text) -> std::string {
            double number = 0;
            if (CLI::detail::lexical_cast(text, number) && number >= 0) return "";
            const Result<Seconds> seconds = ParseDuration(text);
            if (!seconds) return text + " " + seconds.error().message;
            text = FormatJsonNumber(*seconds);
            return "";
          },
          ""};
}

}  // namespace headrace::cli
