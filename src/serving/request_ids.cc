#include "serving/request_ids.h"

#include <cstdio>
#include <memory>
#include <random>

namespace headrace::serving {
namespace {

std::uint64_t Seed(const std::function<std::uint32_t()>& entropy) {
  const std::uint64_t high = entropy();
  return high << 32 | entropy();
}

}  // namespace

RequestIds::RequestIds()
    : RequestIds([device = std::make_shared<std::random_device>()] { return (*device)(); }) {}

RequestIds::RequestIds(const std::function<std::uint32_t()>& entropy)
    : high_(Seed(entropy)), low_(Seed(entropy)) {}

std::string RequestIds::Next() {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(high_.Next()),
                static_cast<unsigned long long>(low_.Next()));
  return text;
}

}  // namespace headrace::serving
