#include "extproc/header_map.h"

namespace headrace::extproc {

using envoy::config::core::v3::HeaderValueOption;

std::string_view ValueOf(const envoy::config::core::v3::HeaderMap& headers, std::string_view name) {
  for (const auto& header : headers.headers()) {
    if (header.key() != name) continue;
    return header.raw_value().empty() ? header.value() : header.raw_value();
  }
  return {};
}

std::string JoinedValues(const envoy::config::core::v3::HeaderMap& headers, std::string_view name) {
  std::string values;
  for (const auto& header : headers.headers()) {
    if (header.key() != name) continue;
    if (!values.empty()) values += ',';
    values += header.raw_value().empty() ? header.value() : header.raw_value();
  }
  return values;
}

void SetHeader(std::string_view name, std::string_view value,
               envoy::service::ext_proc::v3::HeaderMutation& mutation) {
  HeaderValueOption& option = *mutation.add_set_headers();
  option.set_append_action(HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD);
  option.mutable_header()->set_key(name.data(), name.size());
  option.mutable_header()->set_raw_value(value.data(), value.size());
}

}  // namespace headrace::extproc
