#include "cli/console.h"

namespace headrace::cli {

void Print(std::FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
}

void Stop(const std::string& sentence) {
  Print(stderr, sentence + "\n");
  throw CLI::RuntimeError(1);
}

CLI::Validator Quiet(CLI::Validator validator) { return validator.description(""); }

}  // namespace headrace::cli
