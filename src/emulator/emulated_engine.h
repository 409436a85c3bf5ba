// The emulated engine as a server: OpenAI's API with a GPU's timing and no GPU.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/engine_model.h"
#include "system/address.h"

namespace headrace::emulator {

struct EmulatedEngineOptions {
  std::string model;             // The name it serves.
  engine::EngineConfig engine;   // GpuCatalog::Engine makes one.
  double speed = 1;              // Divides all step times, for tests.
  std::uint64_t seed = 0;        // Of the lengths and texts of responses.
  system::SocketAddress listen;  // Port 0: any free one.
};

// Request header: the number of tokens after which the response ends by itself.
inline constexpr char kOutputTokensHeader[] = "x-headrace-output-tokens";

// One engine on its own thread; any number of them in a process. Serves
// /v1/chat/completions, /v1/completions, /v1/responses (each streamed or not), /v1/embeddings,
// /v1/models, /tokenize, /health and /metrics; docs/emulated-engine.md says how much of each. A
// request whose client goes away leaves the engine at once.
class EmulatedEngine {
 public:
  static Result<std::unique_ptr<EmulatedEngine>> Start(const EmulatedEngineOptions& options);
  // Stop().
  ~EmulatedEngine();

  const system::SocketAddress& address() const;
  std::uint16_t port() const { return address().port(); }

  // Breaks off what is in progress and closes the port. Not from an I/O thread.
  void Stop();

 private:
  struct State;
  explicit EmulatedEngine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace headrace::emulator
