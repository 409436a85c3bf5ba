// What an engine says that it serves: the response to GET /v1/models.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace headrace::openai {

struct ListedModel {
  std::string id;
  std::string parent;  // Of a LoRA adapter: the model that it adapts. Else empty.
  // vLLM's and SGLang's: most tokens of prompt and response together; 0 where it is not told, as
  // for a LoRA adapter.
  Tokens max_model_len = 0;
};

// nullopt for what is no such list. Entries without a name are left out.
std::optional<std::vector<ListedModel>> ParseModelList(std::string_view json);

}  // namespace headrace::openai
