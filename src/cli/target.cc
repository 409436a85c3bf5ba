#include "cli/target.h"

#include <utility>

#include "cli/console.h"
#include "system/http_url.h"

namespace headrace::cli {

completion::Endpoint TargetAt(std::string_view url, std::vector<std::string> headers) {
  const auto parsed = system::ParseHttpUrl(url);
  // Without the text, which may hold a password.
  if (!parsed) Stop("The server's URL " + parsed.error().message + ".", kMisused);
  completion::Endpoint endpoint = OrStop(completion::EndpointAt(*parsed));
  endpoint.headers = std::move(headers);
  return endpoint;
}

}  // namespace headrace::cli
