#include "gateway/client_tls.h"

#include <utility>

#include "system/files.h"

namespace headrace::gateway {
namespace {

constexpr std::size_t kLargestPem = std::size_t{4} << 20;

}  // namespace

Result<net::TlsContext::Options> ReadTls(const config::TlsConfig& tls, const std::string& option) {
  net::TlsContext::Options options{.verify = tls.verify};
  const std::pair<const std::string*, std::string*> files[] = {
      {&tls.ca, &options.ca}, {&tls.certificate, &options.certificate}, {&tls.key, &options.key}};
  for (const auto& [file, text] : files) {
    if (file->empty()) continue;
    auto read = system::ReadSmallFile(*file, kLargestPem);
    if (!read) return Fail(option + ": " + read.error().message);
    *text = *std::move(read);
  }
  return options;
}

}  // namespace headrace::gateway
