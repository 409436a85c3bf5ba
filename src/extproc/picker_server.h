// The endpoint picker: Envoy asks it, by external processing, where each request goes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "serving/served_request.h"
#include "telemetry/log.h"
#include "telemetry/standing_faults.h"

namespace headrace::extproc {

// Lets each thread wait for its own sockets only: none is woken to hand over to another what it has
// found. To be called before the process has threads. GRPC_POLL_STRATEGY says otherwise.
void WaitForOwnSockets();

// Serves from Start until Stop. Thread-safe.
class PickerServer {
 public:
  using ConfigInForce = std::function<std::shared_ptr<const config::Config>()>;

  // `config` is asked again and again: what may change while it runs does so within a second.
  // `ready`: what the health checks say. What is passed in must outlive it. Errors: an address that
  // cannot be listened on, a certificate that cannot be used.
  static Result<std::unique_ptr<PickerServer>> Start(ConfigInForce config,
                                                     const serving::ServingContext& context,
                                                     std::function<bool()> ready,
                                                     const telemetry::Log& log);
  ~PickerServer();

  // The health checks fail from now on; requests are served as before.
  void BeginDrain();
  // Takes no new requests and asks Envoy to connect elsewhere; those in flight may go on for
  // `patience` seconds. A second call does nothing.
  void Stop(Seconds patience);

  // That it listens on.
  int port() const;
  int health_port() const;

 private:
  struct Parts;
  explicit PickerServer(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace headrace::extproc
