#include "config/yaml_repair.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace headrace::config {
namespace {

// Each try reads the whole text.
constexpr std::size_t kMostBytes = 64 << 10;

std::vector<std::string> LinesOf(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::size_t IndentOf(std::string_view line) {
  return std::min(line.find_first_not_of(" \t"), line.size());
}

// Where an editor shows it to begin: most show a tab as four spaces.
std::size_t ColumnOf(std::string_view line) {
  std::size_t column = 0;
  for (const char c : line.substr(0, IndentOf(line))) column += c == '\t' ? 4 : 1;
  return column;
}

bool IsBlank(std::string_view line) {
  const std::size_t begin = IndentOf(line);
  return begin == line.size() || line[begin] == '#' || line[begin] == '\r';
}

// Where the options of the lines above begin, the nearest to `now` first.
std::vector<std::size_t> Indents(std::span<const std::string> above, std::size_t now) {
  std::vector<std::size_t> indents = {0};
  for (const std::string& line : above) {
    if (IsBlank(line)) continue;
    const std::size_t indent = IndentOf(line);
    indents.push_back(indent);
    indents.push_back(indent + 2);  // Inside it; of an item `- name: …`, beside `name`.
    indents.push_back(indent + 4);
  }
  // The deeper one of two that are equally near.
  std::ranges::sort(indents, {}, [now](std::size_t indent) {
    return indent > now ? std::pair(indent - now, 0) : std::pair(now - indent, 1);
  });
  const auto twice = std::ranges::unique(indents);
  indents.erase(twice.begin(), twice.end());
  if (indents.size() > 8) indents.resize(8);
  return indents;
}

// With quotes around each word of the line that holds `${`.
std::string WithQuotedVariables(const std::string& line) {
  std::string quoted;
  std::size_t at = 0;
  for (;;) {
    const std::size_t variable = line.find("${", at);
    const std::size_t close = variable == line.npos ? line.npos : line.find('}', variable);
    if (close == line.npos) return quoted + line.substr(at);
    const std::size_t before = line.find_last_of(" [{,\"'", variable);
    const std::size_t begin = before == line.npos ? 0 : std::max(at, before + 1);
    const std::size_t end = std::min(line.find_first_of(" ,]}\"'", close + 1), line.size());
    quoted += line.substr(at, begin - at) + "\"" + line.substr(begin, end - begin) + "\"";
    at = end;
  }
}

// With quotes around what follows `name: `; the line itself if there is nothing to quote.
std::string WithQuotedValue(const std::string& line) {
  const std::size_t colon = line.find(": ");
  if (colon == line.npos) return line;
  const std::string value = line.substr(colon + 2);
  if (value.empty() || value.find_first_of("\"#\\") != value.npos) return line;
  const bool list = value.front() == '[' && value.back() == ']';
  const bool group = value.front() == '{' && value.back() == '}';
  return list || group ? line : line.substr(0, colon + 2) + "\"" + value + "\"";
}

}  // namespace

std::optional<YamlRepair> FindYamlRepair(std::string_view text, int line, int begun,
                                         const std::function<bool(const std::string&)>& is_valid) {
  if (text.size() > kMostBytes) return std::nullopt;
  std::vector<std::string> all = LinesOf(text);
  const auto valid_with = [&](std::size_t index, const std::string& line) {
    if (line == all[index]) return false;
    std::string changed;
    for (std::size_t i = 0; i < all.size(); ++i) changed += (i == index ? line : all[i]) + "\n";
    return is_valid(changed);
  };
  const auto can_be_changed = [&](int number) {
    return number >= 1 && static_cast<std::size_t>(number) <= all.size() &&
           !IsBlank(all[static_cast<std::size_t>(number - 1)]);
  };
  const auto close = [&](int number) -> std::optional<YamlRepair> {
    const auto index = static_cast<std::size_t>(number - 1);
    for (const char* end : {"]", "}", "\"", "'", "] }", "}]", "] }]"}) {
      if (!valid_with(index, all[index] + end)) continue;
      return YamlRepair{
          number, "close what is open with `" + std::string(end) + "` at the end of this line"};
    }
    return std::nullopt;
  };
  if (can_be_changed(begun)) {
    if (auto repair = close(begun)) return repair;
  }
  for (const int number : {line, line - 1}) {
    if (!can_be_changed(number)) continue;
    const auto index = static_cast<std::size_t>(number - 1);
    const std::string old = all[index];
    const std::size_t indent = IndentOf(old);
    const auto found = [number](std::string fix) { return YamlRepair{number, std::move(fix)}; };
    for (const std::size_t other : Indents(std::span(all).first(index), ColumnOf(old))) {
      if (!valid_with(index, std::string(other, ' ') + old.substr(indent))) continue;
      return found(other == 0 ? "begin this line without spaces"
                              : "indent this line by " + std::to_string(other) + " spaces");
    }
    if (const std::size_t colon = old.find(':'); colon != old.npos) {
      if (valid_with(index, old.substr(0, colon + 1) + " " + old.substr(colon + 1))) {
        return found("write a space after the colon");
      }
    }
    if (valid_with(index, WithQuotedVariables(old))) return found("put `${…}` in quotes");
    if (auto repair = close(number)) return repair;
    if (valid_with(index, WithQuotedValue(old))) return found("put the value in quotes");
  }
  return std::nullopt;
}

}  // namespace headrace::config
