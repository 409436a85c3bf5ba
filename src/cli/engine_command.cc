#include "cli/engine_command.h"

#include <iostream>
#include <memory>
#include <string>

#include "cli/console.h"
#include "emulator/emulated_engine.h"
#include "engine/gpu_catalog.h"
#include "system/files.h"
#include "system/termination.h"

namespace headrace::cli {
namespace {

struct Arguments {
  std::string listen = "127.0.0.1:8000";
  std::string gpu = "a10";
  std::string model = "llama2-7b";
  std::string name;
  std::string gpus_file;
  Tokens max_model_len = 0;
  double speed = 1;
  std::uint64_t seed = 0;
};

Result<std::unique_ptr<emulator::EmulatedEngine>> Start(const Arguments& arguments) {
  std::string text(engine::ShippedGpuCatalog());
  std::string origin = "data/gpus.json";
  if (!arguments.gpus_file.empty()) {
    auto file = system::ReadFile(arguments.gpus_file);
    if (!file) return tl::unexpected(file.error());
    text = std::move(*file);
    origin = arguments.gpus_file;
  }
  const auto catalog = engine::GpuCatalog::Parse(text, origin);
  if (!catalog) return tl::unexpected(catalog.error());
  const auto config = catalog->Engine(arguments.gpu, arguments.model, arguments.max_model_len);
  if (!config) return tl::unexpected(config.error());
  const auto host_port = system::ParseHostPort(arguments.listen);
  if (!host_port) return tl::unexpected(host_port.error());
  const auto address = system::Resolve(*host_port);
  if (!address) return tl::unexpected(address.error());

  emulator::EmulatedEngineOptions options;
  options.model = arguments.name.empty() ? arguments.model : arguments.name;
  options.engine = *config;
  options.speed = arguments.speed;
  options.seed = arguments.seed;
  options.listen = *address;
  return emulator::EmulatedEngine::Start(options);
}

int Serve(const Arguments& arguments) {
  system::Termination termination;
  const auto engine = Start(arguments);
  if (!engine) {
    std::cerr << "headrace engine: " << engine.error().message << '\n';
    return 1;
  }
  std::cout << "headrace engine: " << arguments.model << " on an emulated " << arguments.gpu
            << " at http://" << (*engine)->address().ToString() << std::endl;
  termination.Wait();
  (*engine)->Stop();
  return 0;
}

}  // namespace

void AddEngineCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "engine", "Serve OpenAI's API with the timing of a GPU, emulated (docs/emulated-engine.md)");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("--listen", arguments->listen, "host:port; port 0 picks a free one")
      ->capture_default_str();
  command->add_option("--gpu", arguments->gpu, "GPU type: a10, l20, l4, a40, a100, h100, h200")
      ->capture_default_str();
  command->add_option("--model", arguments->model, "Model: llama2-7b, llama3-8b")
      ->capture_default_str();
  command->add_option("--served-model-name", arguments->name,
                      "The name that requests use; the model's own if not given");
  command
      ->add_option("--max-model-len", arguments->max_model_len,
                   "Context length in tokens; the model's own if not given")
      ->check(CLI::Range(2, 1 << 24));
  command->add_option("--speed", arguments->speed, "Run so many times faster than the GPU would")
      ->check(AboveZero())
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "Of the lengths and texts of answers")
      ->capture_default_str();
  command->add_option("--gpus", arguments->gpus_file,
                      "GPU types and models from this file instead of the built-in data/gpus.json");
  command->callback([arguments] {
    if (const int status = Serve(*arguments); status != 0) throw CLI::RuntimeError(status);
  });
}

}  // namespace headrace::cli
