// What browsers are told about pages of other origins (the Fetch standard's CORS protocol).
#pragma once

#include <string>

#include "config/config.h"
#include "net/http_server.h"

namespace headrace::gateway {

// Appends the header lines of the response to this request; none where its origin is not listed.
void AddCorsFields(const config::CorsConfig& cors, const net::HttpExchange& exchange,
                   std::string& head);

}  // namespace headrace::gateway
