#include "net/router.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace headrace::net {
namespace {

bool PathMatches(const Route& route, std::string_view path) {
  if (path == "*") return true;  // OPTIONS asks for what the whole server allows.
  if (!route.has_parameter) return path == route.path;
  return path.size() > route.path.size() && path.starts_with(route.path);
}

bool MethodMatches(const Route& route, std::string_view method) {
  return method == route.method || (method == "HEAD" && route.method == "GET");
}

std::string Join(const std::vector<std::string_view>& items, std::string_view separator) {
  std::string text;
  for (const std::string_view item : items) {
    if (!text.empty()) text += separator;
    text += item;
  }
  return text;
}

// RFC 9110 §9.3.7.
Task<void> RespondAllowed(HttpExchange& exchange, std::string methods) {
  ResponseHead head(204);
  head.Add("allow", std::move(methods));
  co_await exchange.Respond(head, "");
}

}  // namespace

Route::Route(std::string the_method, std::string the_path, HttpHandler the_handler)
    : method(std::move(the_method)),
      path(std::move(the_path)),
      handler([serve = std::move(the_handler)](HttpExchange& exchange, std::string_view) {
        return serve(exchange);
      }) {}

Route::Route(std::string the_method, std::string_view the_path, ParameterHandler the_handler)
    : method(std::move(the_method)),
      path(the_path.substr(0, the_path.rfind('{'))),
      has_parameter(true),
      handler(std::move(the_handler)) {}

Router::Router(std::vector<Route> routes, RouteErrorResponder respond_error)
    : routes_(std::move(routes)), respond_error_(std::move(respond_error)) {}

// Not a coroutine, so that routing costs no frame. A dozen routes are searched in less time than a
// hash of the path takes.
Task<void> Router::Handle(HttpExchange& exchange, std::string_view path) const {
  std::vector<std::string_view> methods;  // Of the routes with that path.
  for (const Route& route : routes_) {
    if (!PathMatches(route, path)) continue;
    if (MethodMatches(route, exchange.method())) {
      return route.handler(exchange, path.substr(route.path.size()));
    }
    if (std::ranges::find(methods, route.method) == methods.end()) methods.push_back(route.method);
  }
  if (methods.empty()) {
    std::string message = "There is nothing at " + Excerpt(path) + ".";
    return respond_error_(exchange, ResponseHead(404), std::move(message));
  }
  const bool asks = exchange.method() == "OPTIONS";
  std::string message = "Use " + Join(methods, " or ") + " for " + Excerpt(path) + ".";
  if (const auto get = std::ranges::find(methods, "GET"); get != methods.end()) {
    methods.insert(get + 1, "HEAD");
  }
  methods.push_back("OPTIONS");
  std::string allowed = Join(methods, ", ");
  if (asks) return RespondAllowed(exchange, std::move(allowed));
  ResponseHead head(405);
  head.Add("allow", std::move(allowed));
  return respond_error_(exchange, std::move(head), std::move(message));
}

}  // namespace headrace::net
