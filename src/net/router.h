// Which handler serves which method and path.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_server.h"

namespace headrace::net {

// Serves a request whose path ends in a parameter: the bytes of the path, still percent-encoded.
using ParameterHandler = std::function<Task<void>(HttpExchange&, std::string_view parameter)>;

// One line of the table. A path is literal, or ends in a parameter that takes the rest of the path,
// slashes included, and is never empty: "/v1/models/{id}". A GET route serves HEAD too.
struct Route {
  Route(std::string method, std::string path, HttpHandler handler);
  Route(std::string method, std::string_view path, ParameterHandler handler);

  std::string method;
  std::string path;  // Without the parameter.
  bool has_parameter = false;
  ParameterHandler handler;
};

// Answers a request that no route serves. `head` is that of the response: 404, or 405 with `Allow`;
// the responder adds the content type and sends it with a body. `message` is a sentence for that.
using RouteErrorResponder =
    std::function<Task<void>(HttpExchange&, ResponseHead head, std::string message)>;

// The routes of one server. Immutable, so any number of threads may use it; must outlive the
// server.
class Router {
 public:
  Router(std::vector<Route> routes, RouteErrorResponder respond_error);

  // Serves one request by the first route that matches its method and path.
  Task<void> Handle(HttpExchange& exchange) const { return Handle(exchange, exchange.path()); }
  // The same by another path, which must stay until the task is done.
  Task<void> Handle(HttpExchange& exchange, std::string_view path) const;

  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
  RouteErrorResponder respond_error_;
};

}  // namespace headrace::net
