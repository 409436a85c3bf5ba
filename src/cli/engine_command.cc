#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "emulator/emulated_engine.h"
#include "system/open_files.h"
#include "system/termination.h"

namespace headrace::cli {
namespace {

struct Arguments {
  std::string listen = "127.0.0.1:8000";
  std::string gpu = "a10";
  std::string model = "llama2-7b";
  std::string name;
  std::string version;
  std::string gpus_file;
  Tokens max_model_len = 0;
  double speed = 1;
  std::uint64_t seed = 0;
};

void Serve(const Arguments& arguments) {
  system::RaiseOpenFiles();
  system::Termination termination;
  emulator::EmulatedEngineOptions options;
  options.model = arguments.name.empty() ? arguments.model : arguments.name;
  options.engine = OrStop(
      ReadGpuCatalog(arguments.gpus_file)
          .Engine(arguments.gpu, arguments.model, arguments.max_model_len, arguments.version));
  options.speed = arguments.speed;
  options.seed = arguments.seed;
  options.listen = OrStop(system::ParseHostPort(arguments.listen).and_then(system::Resolve));
  const auto engine = OrStop(emulator::EmulatedEngine::Start(options));
  Print(stdout, "headrace engine: " + arguments.model + " on an emulated " + arguments.gpu +
                    " at http://" + engine->address().ToString() + "\n");
  std::fflush(stdout);
  termination.Wait();
  engine->Stop();
}

}  // namespace

void AddEngineCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "engine", "Serve OpenAI's API with the timing of a GPU, emulated (docs/emulated-engine.md)");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("--listen", arguments->listen, "host:port; port 0 picks a free one")
      ->capture_default_str();
  command
      ->add_option("--gpu", arguments->gpu, "GPU type: a10, a10g, l20, l4, a40, a100, h100, h200")
      ->capture_default_str();
  command->add_option("--model", arguments->model, "Model: llama2-7b, llama3-8b")
      ->capture_default_str();
  command->add_option("--engine-version", arguments->version,
                      "Whose overhead per step: vllm-2024, vllm-2026; default: the file's");
  command->add_option("--served-model-name", arguments->name,
                      "The name that requests use; default: the model's own");
  command
      ->add_option("--max-model-len", arguments->max_model_len,
                   "Context length in tokens; the model's own if not given")
      ->check(CLI::Range(2, 1 << 24));
  command->add_option("--speed", arguments->speed, "Factor by which it runs faster than the GPU")
      ->check(Within(limits::kSpeed))
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "Seed of the lengths and texts of responses")
      ->capture_default_str();
  AddGpusOption(*command, arguments->gpus_file);
  command->callback([arguments] { Serve(*arguments); });
}

}  // namespace headrace::cli
