// Forms (multipart/form-data, RFC 7578), as far as a router needs them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::openai {

// Where a field's value is in the body; size 0 when the form has none, or an empty one: then
// `offset` is where a part can be put.
struct FormField {
  std::size_t offset = 0;
  std::size_t size = 0;
  std::string boundary;
};

// The field's value is a text of at most 64 KiB in a part without a file name. The error is a
// phrase: no form, no boundary, an end that is missing, more than 1,024 parts, or what readers of
// forms differ in: the field twice, a part or a boundary with two names.
Result<FormField> FindFormField(std::string_view content_type, std::string_view body,
                                std::string_view name);

}  // namespace headrace::openai
