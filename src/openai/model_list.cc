#include "openai/model_list.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

namespace headrace::openai {

std::optional<std::vector<ListedModel>> ParseModelList(std::string_view json) {
  const auto list = nlohmann::json::parse(json, nullptr, false);
  const auto data = list.is_object() ? list.find("data") : list.end();
  if (data == list.end() || !data->is_array()) return std::nullopt;
  std::vector<ListedModel> models;
  for (const auto& entry : *data) {
    const auto id = entry.is_object() ? entry.find("id") : entry.end();
    if (id == entry.end() || !id->is_string()) continue;
    ListedModel& model = models.emplace_back(ListedModel{.id = id->get<std::string>()});
    const auto parent = entry.find("parent");
    if (parent != entry.end() && parent->is_string()) model.parent = parent->get<std::string>();
    const auto length = entry.find("max_model_len");
    if (length == entry.end() || !length->is_number_integer()) continue;
    const auto tokens = length->get<std::int64_t>();
    if (tokens < 1 || tokens > std::numeric_limits<Tokens>::max()) continue;
    model.max_model_len = static_cast<Tokens>(tokens);
  }
  return models;
}

}  // namespace headrace::openai
