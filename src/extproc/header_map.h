// Headers, as Envoy's messages have them.
#pragma once

#include <string>
#include <string_view>

#include "envoy/service/ext_proc/v3/external_processor.pb.h"

namespace headrace::extproc {

// Envoy's names of what concerns the choice: the metadata, and in it, as in a header, the endpoint.
inline constexpr char kLoadBalancing[] = "envoy.lb";
inline constexpr char kDestination[] = "x-gateway-destination-endpoint";

// "" if there is none. Names are in lower case.
std::string_view ValueOf(const envoy::config::core::v3::HeaderMap& headers, std::string_view name);

// The values of all headers of that name, joined by commas.
std::string JoinedValues(const envoy::config::core::v3::HeaderMap& headers, std::string_view name);

void SetHeader(std::string_view name, std::string_view value,
               envoy::service::ext_proc::v3::HeaderMutation& mutation);

}  // namespace headrace::extproc
