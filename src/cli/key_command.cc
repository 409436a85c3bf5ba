// `key add`, `list` and `revoke`: the file of API keys that the gateway knows its clients by.
#include <sys/random.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "access/api_key.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "config/key_file.h"
#include "config/yaml.h"
#include "render/table.h"
#include "system/file_lock.h"
#include "system/files.h"

namespace headrace::cli {
namespace {

// The shortest key of another system that is taken: a shorter one can be guessed.
constexpr std::size_t kShortestKey = 16;

struct Arguments {
  std::string file = "keys.yaml";
  access::ApiKey key;
  std::string existing;  // The file that it is in; empty: a new one.
};

template <std::size_t N>
std::array<std::uint8_t, N> RandomBytes() {
  std::array<std::uint8_t, N> bytes{};
  if (getrandom(bytes.data(), N, 0) != static_cast<ssize_t>(N)) {
    Stop("the system gives no random bytes; try again");
  }
  return bytes;
}

// As a gateway reads it.
std::string ReadKeys(const std::string& file) {
  return OrStop(system::ReadSmallFile(file, config::YamlBounds::kBytes));
}

std::string ExistingKey(const std::string& file) {
  constexpr std::size_t kLargestFile = std::size_t{64} << 10;
  const std::string text = OrStop(system::ReadSmallFile(file, kLargestFile));
  const std::string key(Trimmed(text));
  if (key.size() < kShortestKey || key.find_first_of(" \t\r\n") != std::string::npos) {
    Stop(file + ": has no key of at least " + std::to_string(kShortestKey) +
         " characters without spaces; let this command make one");
  }
  return key;
}

void Add(Arguments arguments) {
  // Two commands at a time would otherwise undo what the other has done.
  const system::FileLock lock = OrStop(system::FileLock::Take(arguments.file));
  std::error_code error;
  const std::string before =
      std::filesystem::exists(arguments.file, error) ? ReadKeys(arguments.file) : "";
  std::string salt;
  if (Trimmed(before).empty()) {
    const auto bytes = RandomBytes<16>();
    salt.assign(bytes.begin(), bytes.end());
  } else {
    const access::KeyFile file = OrStop(config::ReadKeyFile(before, arguments.file));
    salt = file.salt;
    for (const access::ApiKey& key : file.keys) {
      if (key.name != arguments.key.name) continue;
      Stop(arguments.file + ": has a key named " + key.name +
           " already; choose another name, or revoke that one first");
    }
  }
  const std::string key = arguments.existing.empty() ? access::MakeApiKey(RandomBytes<25>())
                                                     : ExistingKey(arguments.existing);
  arguments.key.hash = access::HashOfKey(salt, key);
  OrStop(system::WriteFile(arguments.file,
                           OrStop(config::WithKey(before, arguments.file, salt, arguments.key))));
  if (!arguments.existing.empty()) return;
  Print(stderr, "This is the key; it is not kept anywhere and cannot be shown again:\n");
  Print(stdout, key + "\n");
}

std::string Limit(const std::optional<double>& limit) {
  return limit ? FormatJsonNumber(*limit) : "-";
}

void List(const Arguments& arguments) {
  const access::KeyFile file =
      OrStop(config::ReadKeyFile(ReadKeys(arguments.file), arguments.file));
  using render::Align;
  render::Table table;
  table.columns = {{"name"},
                   {"tenant"},
                   {"models"},
                   {"requests/min", Align::kRight},
                   {"tokens/min", Align::kRight},
                   {"in flight", Align::kRight},
                   {"priority", Align::kRight}};
  for (const access::ApiKey& key : file.keys) {
    std::string models;
    for (const std::string& model : key.models) models += (models.empty() ? "" : ", ") + model;
    table.rows.push_back({key.name, key.Tenant(), models.empty() ? "all" : models,
                          Limit(key.requests_per_minute), Limit(key.tokens_per_minute),
                          key.max_in_flight ? std::to_string(*key.max_in_flight) : "-",
                          std::to_string(key.priority)});
  }
  Print(stdout, render::RenderText(table));
}

void Revoke(const Arguments& arguments) {
  const system::FileLock lock = OrStop(system::FileLock::Take(arguments.file));
  const std::string before = ReadKeys(arguments.file);
  OrStop(system::WriteFile(arguments.file,
                           OrStop(config::WithoutKey(before, arguments.file, arguments.key.name))));
}

void AddFileOption(CLI::App& command, std::string& file) {
  command.add_option("--file", file, "The file of keys (`api_keys` in the configuration)")
      ->capture_default_str()
      ->type_name("FILE");
}

void AddNameOption(CLI::App& command, std::string& name) {
  command.add_option("name", name, "The key's name")->required()->type_name("NAME");
}

}  // namespace

void AddKeyCommand(CLI::App& app) {
  auto* const keys = app.add_subcommand("key", "API keys: who may send requests, and how many.");
  keys->require_subcommand(1);

  const auto arguments = std::make_shared<Arguments>();
  auto* const add =
      keys->add_subcommand("add",
                           "Adds a key and prints it. The file keeps only its hash. A "
                           "gateway takes the changed file over by itself.");
  AddNameOption(*add, arguments->key.name);
  AddFileOption(*add, arguments->file);
  add->add_option("--tenant", arguments->key.tenant,
                  "Whose share of the fleet its requests count into; by default its own")
      ->type_name("NAME");
  add->add_option("--model", arguments->key.models,
                  "That it may use, once for each; by default all")
      ->type_name("NAME");
  add->add_option("--requests-per-minute", arguments->key.requests_per_minute, "Most requests")
      ->check(Within(limits::kPerMinute))
      ->type_name("N");
  add->add_option("--tokens-per-minute", arguments->key.tokens_per_minute,
                  "Most tokens of prompts and responses together")
      ->check(Within(limits::kPerMinute))
      ->type_name("N");
  add->add_option("--max-in-flight", arguments->key.max_in_flight,
                  "Most requests that wait or run at a time")
      ->check(Within({1, 1e6}))
      ->type_name("N");
  add->add_option("--priority", arguments->key.priority,
                  "Added to that of its requests' objectives")
      ->check(Within({-1000, 1000}))
      ->capture_default_str()
      ->type_name("N");
  add->add_option("--key-file", arguments->existing,
                  "An existing key instead of a new one, in a file; -: standard input")
      ->type_name("FILE");
  add->callback([arguments] { Add(*arguments); });

  auto* const list = keys->add_subcommand("list", "The keys of a file, and what they may do.");
  AddFileOption(*list, arguments->file);
  list->callback([arguments] { List(*arguments); });

  auto* const revoke =
      keys->add_subcommand("revoke", "Takes a key out: from now on it is refused.");
  AddNameOption(*revoke, arguments->key.name);
  AddFileOption(*revoke, arguments->file);
  revoke->callback([arguments] { Revoke(*arguments); });
}

}  // namespace headrace::cli
