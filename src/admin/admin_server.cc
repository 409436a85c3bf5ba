#include "admin/admin_server.h"

#include <chrono>
#include <utility>

#include "admin/status_json.h"

namespace headrace {
namespace {

constexpr Seconds kDrain = 1;

struct Page {
  int status = 200;
  std::string_view content_type = "application/json";
  std::string body;
};

}  // namespace

Result<std::unique_ptr<AdminServer>> AdminServer::Start(const std::string& listen, Gateway& gateway,
                                                        const MetricsRegistry& registry) {
  auto parsed = ParseHostPort(listen);
  if (!parsed) return tl::unexpected(parsed.error());
  auto address = Resolve(*parsed);
  if (!address) return tl::unexpected(address.error());
  std::unique_ptr<AdminServer> admin(new AdminServer(gateway, registry));
  HttpServerOptions options;
  options.max_connections = 64;
  options.max_body_bytes = 4096;
  auto server = HttpServer::Listen(
      admin->threads_, *address, options,
      [self = admin.get()](HttpExchange& exchange) { return self->Handle(exchange); });
  if (!server) return tl::unexpected(server.error());
  admin->server_ = std::move(*server);
  return admin;
}

AdminServer::~AdminServer() {
  if (server_) server_->Stop(kDrain);
}

Task<void> AdminServer::Handle(HttpExchange& exchange) {
  Page page;
  const std::string_view path = exchange.path();
  if (path == "/metrics") {
    gateway_.RefreshMetrics();
    page = {200, MetricsRegistry::kContentType, registry_.Text()};
  } else if (path == "/status") {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    page.body = StatusJson(gateway_, std::chrono::duration<double>(now).count());
  } else if (path == "/healthz") {
    page.body = "{\"status\":\"ok\"}\n";
  } else if (path == "/readyz") {
    const bool ready = gateway_.Ready();
    page.status = ready ? 200 : 503;
    page.body = ready ? "{\"status\":\"ok\"}\n" : "{\"status\":\"no endpoint is up\"}\n";
  } else {
    page.status = 404;
    page.body = "{\"pages\":[\"/metrics\",\"/status\",\"/healthz\",\"/readyz\"]}\n";
  }
  ResponseHead head(page.status);
  head.Add("content-type", page.content_type);
  co_await exchange.Respond(head, page.body);
}

}  // namespace headrace
