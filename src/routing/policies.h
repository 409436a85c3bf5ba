// How each policy is made: one line here, one file, one row in registry.cc.
#pragma once

#include <memory>

#include "routing/policy.h"

namespace headrace::routing {

std::unique_ptr<Policy> MakeSloHeadroom();
std::unique_ptr<Policy> MakeSloLeastLoadPulling();  // slo.cc
std::unique_ptr<Policy> MakeSloLeastLoad();         // slo.cc
std::unique_ptr<Policy> MakeSloPackLoad();          // slo.cc
std::unique_ptr<Policy> MakeLeastLoad();            // least_load.cc
std::unique_ptr<Policy> MakePackLoad();             // pack_load.cc
std::unique_ptr<Policy> MakeLeastRequest();         // least_request.cc
std::unique_ptr<Policy> MakeLMetric();              // lmetric.cc
std::unique_ptr<Policy> MakeLeastLatency();         // least_latency.cc
std::unique_ptr<Policy> MakePowerOfTwo();           // power_of_two.cc
std::unique_ptr<Policy> MakeRoundRobin();           // round_robin.cc
std::unique_ptr<Policy> MakeRandom();               // random.cc

}  // namespace headrace::routing
