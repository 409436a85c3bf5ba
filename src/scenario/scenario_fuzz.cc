// Fuzzes scenario files, without what they name.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/config_reader.h"
#include "scenario/scenario_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  headrace::config::ConfigReader reader("s.yaml", "the scenario");
  const auto root = reader.Parse({reinterpret_cast<const char*>(data), size});
  headrace::scenario::ScenarioText scenario;
  if (root) headrace::scenario::ScenarioSchema().Read(scenario, *root, reader);
  if (!root && reader.faults() != 1) std::abort();
  if (reader.faults() > 0 && !reader.FaultText().starts_with("s.yaml:")) std::abort();
  return 0;
}
