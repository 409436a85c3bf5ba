#include "config/key_file.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/text.h"
#include "config/config_reader.h"
#include "config/option_form.h"
#include "config/option_group.h"

namespace headrace::config {
namespace {

using access::ApiKey;
using access::KeyFile;

constexpr std::size_t kSaltBytes = 16;

template <typename V>
OptionForm<V> HexForm(std::size_t size) {
  OptionForm<V> form;
  form.type = "hexadecimal";
  form.parse = [size](std::string_view text) -> Result<V> {
    const auto bytes = access::FromHex(text, size);
    if (!bytes) {
      return Fail("is not " + std::to_string(2 * size) +
                  " hexadecimal digits in lower case; let `headrace key add` write it");
    }
    V value{};
    if constexpr (requires { value.resize(size); }) value.resize(size);
    std::ranges::copy(*bytes, value.begin());
    return value;
  };
  form.print = [](const V& value) {
    return access::ToHex({reinterpret_cast<const std::uint8_t*>(value.data()), value.size()});
  };
  return form;
}

OptionGroup<ApiKey> KeyOptions() {
  return OptionGroup<ApiKey>()
      .Value("name", &ApiKey::name, NameForm(),
             {.prose = "What logs and metrics call it.",
              .example = "team-a",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value("hash", &ApiKey::hash, HexForm<access::KeyHash>(access::KeyHash().size()),
             {.prose = "SHA-256 of the salt and the key.",
              .example = "…",
              .required = true,
              .unique = OptionNote::Unique::kInList,
              .secret = true})
      .Value("tenant", &ApiKey::tenant, NameForm(), {.prose = "Whose share it counts into."})
      .Values("models", &ApiKey::models, NameForm(),
              {.prose = "That it may use; without the option: all.", .example = "[llama]"})
      .Value("requests_per_minute", &ApiKey::requests_per_minute,
             NumberForm(limits::kPerMinute.low, limits::kPerMinute.high),
             {.prose = "Most requests.", .example = "600"})
      .Value("tokens_per_minute", &ApiKey::tokens_per_minute,
             NumberForm(limits::kPerMinute.low, limits::kPerMinute.high),
             {.prose = "Most tokens of prompts and responses together.", .example = "100000"})
      .Value("max_in_flight", &ApiKey::max_in_flight, IntegerForm(1, 1'000'000),
             {.prose = "Most requests that wait or run at a time.", .example = "20"})
      .Value("priority", &ApiKey::priority, IntegerForm(-1000, 1000),
             {.prose = "Added to that of a request's objective."});
}

OptionGroup<KeyFile> FileOptions() {
  return OptionGroup<KeyFile>()
      .Value("salt", &KeyFile::salt, HexForm<std::string>(kSaltBytes),
             {.prose = "Before each key when it is hashed.",
              .example = "…",
              .required = true,
              .secret = true})
      .Groups("keys", &KeyFile::keys, KeyOptions(), {.prose = "The keys.", .example = "{ … }"});
}

// A text in YAML, whatever is in it.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string ItemOf(const ApiKey& key) {
  std::string text = "  - name: " + Quoted(key.name) + "\n";
  const auto add = [&text](std::string_view option, const std::string& value) {
    text.append("    ").append(option).append(": ").append(value).append("\n");
  };
  add("hash", access::ToHex(key.hash));
  if (!key.tenant.empty()) add("tenant", Quoted(key.tenant));
  if (!key.models.empty()) {
    std::string models;
    for (const std::string& model : key.models) {
      models += (models.empty() ? "" : ", ") + Quoted(model);
    }
    add("models", "[" + models + "]");
  }
  if (key.requests_per_minute)
    add("requests_per_minute", FormatJsonNumber(*key.requests_per_minute));
  if (key.tokens_per_minute) add("tokens_per_minute", FormatJsonNumber(*key.tokens_per_minute));
  if (key.max_in_flight) add("max_in_flight", std::to_string(*key.max_in_flight));
  if (key.priority != 0) add("priority", std::to_string(key.priority));
  return text;
}

// What the change was meant to come to is what the changed text says; else nobody can tell what the
// file means.
Result<std::string> Checked(std::string text, const std::string& file_name, const KeyFile& wanted) {
  const auto read = ReadKeyFile(text, file_name);
  if (read && *read == wanted) return text;
  return Fail(file_name +
              ": is written in a way that this command cannot change; write each key as a block "
              "under `keys:`, as `headrace key add` does, or change it by hand");
}

// What a user can get wrong about a new key; the rest is not its own doing (Checked).
Result<void> CheckNew(const ApiKey& key, const KeyFile& file, const std::string& file_name) {
  std::vector<std::string> names = key.models;
  names.push_back(key.name);
  if (!key.tenant.empty()) names.push_back(key.tenant);
  for (const std::string& name : names) {
    const auto parsed = NameForm().parse(name);
    if (!parsed) return Fail("the name " + Quote(name) + " " + parsed.error().message);
  }
  const auto same = std::ranges::find(file.keys, key.hash, &ApiKey::hash);
  if (same == file.keys.end()) return {};
  return Fail(file_name + ": has this key already, with the name " + Quote(same->name) +
              "; revoke that one first");
}

}  // namespace

Result<KeyFile> ReadKeyFile(std::string_view text, const std::string& file_name) {
  ConfigReader reader(file_name, "the key file");
  KeyFile file;
  if (const YamlRef root = reader.Parse(text)) FileOptions().Read(file, *root, reader);
  if (reader.faults() > 0) return Fail(reader.FaultText());
  return file;
}

Result<std::string> WithKey(std::string_view text, const std::string& file_name,
                            std::string_view salt, const ApiKey& key) {
  std::string changed(text);
  if (Trimmed(changed).empty()) {
    changed =
        "# Hashes of API keys: `headrace key add`, `list` and `revoke` change this file.\nsalt: " +
        access::ToHex({reinterpret_cast<const std::uint8_t*>(salt.data()), salt.size()}) + "\n";
  }
  HEADRACE_ASSIGN(KeyFile wanted, ReadKeyFile(changed, file_name));
  HEADRACE_TRY(CheckNew(key, wanted, file_name));
  if (!changed.ends_with('\n')) changed += '\n';
  if (wanted.keys.empty()) changed += "keys:\n";
  changed += ItemOf(key);
  wanted.keys.push_back(key);
  return Checked(std::move(changed), file_name, wanted);
}

Result<std::string> WithoutKey(std::string_view text, const std::string& file_name,
                               std::string_view name) {
  HEADRACE_ASSIGN(KeyFile wanted, ReadKeyFile(text, file_name));
  const auto key = std::ranges::find(wanted.keys, name, &ApiKey::name);
  if (key == wanted.keys.end()) return Fail(file_name + ": has no key named " + Quote(name));
  const auto index = static_cast<std::size_t>(key - wanted.keys.begin());
  wanted.keys.erase(key);
  const auto root = ParseYaml(text);
  const auto entry = std::ranges::find((*root)->entries, "keys",
                                       [](const YamlEntry& one) { return one.key->text; });
  const YamlNode* const keys = entry->value.get();
  // By line: from the item, or from `keys:` for the last one, to the next item or the end.
  const int first = wanted.keys.empty() ? entry->key->line : keys->items[index]->line;
  const bool last = index + 1 == keys->items.size();
  std::string changed;
  int line = 1;
  for (std::size_t at = 0; at < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    const bool goes = line >= first && (last || line < keys->items[index + 1]->line);
    if (!goes) changed.append(text.substr(at, end - at));
    at = end;
  }
  return Checked(std::move(changed), file_name, wanted);
}

}  // namespace headrace::config
