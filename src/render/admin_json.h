// Parts of what the admin pages say. What is missing, or of another kind, reads as nothing: the
// gateway may be of another version.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "render/terminal.h"

namespace headrace::render {

inline const nlohmann::json& MemberOf(const nlohmann::json& object, std::string_view name) {
  static const nlohmann::json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(name);
  return found == object.end() ? kNothing : *found;
}

// Fit for a terminal.
inline std::string TextOf(const nlohmann::json& object, std::string_view name) {
  const nlohmann::json& member = MemberOf(object, name);
  return member.is_string() ? Printable(member.get_ref<const std::string&>()) : std::string();
}

inline std::optional<double> NumberOf(const nlohmann::json& object, std::string_view name) {
  const nlohmann::json& member = MemberOf(object, name);
  return member.is_number() ? std::optional(member.get<double>()) : std::nullopt;
}

inline bool FlagOf(const nlohmann::json& object, std::string_view name) {
  const nlohmann::json& member = MemberOf(object, name);
  return member.is_boolean() && member.get<bool>();
}

// Discarded if it is no JSON.
inline nlohmann::json ReadJson(std::string_view text) {
  return nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
}

// "ttft 1 s, tpot 50 ms" of {"ttft_s": 1, "tpot_s": 0.05}.
std::string SloText(const nlohmann::json& slo);

}  // namespace headrace::render
